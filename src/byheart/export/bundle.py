"""A bundle: what was learnt, ready to be saved, certified again, or asked."""

from __future__ import annotations

import contextlib
import enum
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch

from byheart.artifacts import read_json, write_json
from byheart.certification.certificate import Certificate
from byheart.certification.check import certify as check
from byheart.certification.recite import greedy
from byheart.errors import ArtifactError, BundleError, Problem, RecordsError
from byheart.export.base import base_config, refuse_other_base, refuse_other_tokens
from byheart.export.manifest import (
    ADAPTER_CONFIG_FILE,
    BYPASS_FILE,
    CERTIFICATE_FILE,
    CHECKPOINT_FILE,
    MANIFEST_FILE,
    METRICS_FILE,
    RECORDS_FILE,
    WEIGHTS_FILE,
    Manifest,
    learnt_records,
)
from byheart.export.model_card import CARD_FILE, model_card, write_card
from byheart.export.peft import read_adapter, write_adapter
from byheart.fingerprint import file_sha256
from byheart.learning.activations import FILE_NAME as ACTIVATIONS_FILE
from byheart.learning.state import read_header
from byheart.learning.trackers import TENSORBOARD_DIRECTORY
from byheart.memory.encode import decode_answer, encode
from byheart.memory.record import Prompt
from byheart.memory.records import Memory
from byheart.memory.template import EncodeConfig, encode_prompt, find_stop_id
from byheart.model.adapter import Adapter, attached
from byheart.model.base import Base, load
from byheart.model.placement import Placement

LONGEST_ANSWER_TOKENS = 4096
FIRST_RANK_FILE = ".byheart-rank.json"  # with which a run of automatic rank began
CLAIM_FILE = ".byheart-claim.json"  # whose an unfinished directory is, before it has a checkpoint or a manifest
_CLAIM_KIND, _CLAIM_VERSION = "claim", 1
_OWN_FILES = {
    ADAPTER_CONFIG_FILE,
    BYPASS_FILE,
    CARD_FILE,
    CERTIFICATE_FILE,
    METRICS_FILE,
    RECORDS_FILE,
    TENSORBOARD_DIRECTORY,
    WEIGHTS_FILE,
}


@dataclass(frozen=True)
class Bundle:
    """What `byheart.learn` gives back.

    Attributes:
        memory: what was to be learnt.
        base: the frozen model.
        adapter: the weights, rounded as they are saved.
        certificate: what was measured.
        manifest: how it came about.
    """

    memory: Memory
    base: Base
    adapter: Adapter
    certificate: Certificate
    manifest: Manifest

    def save(self, directory: str | Path) -> None:
        """Writes the bundle; its manifest last, so that a directory with one is whole. What was interrupted can be
        done again. A model card that somebody has changed is left as it is.

        Raises:
            ArtifactError: the directory holds something else, or cannot be written.
        """
        directory = Path(directory)
        claim(directory, self.manifest.run_fingerprint)
        names = write_adapter(directory, self.adapter, self.base.dtype, self.base.location)
        self.certificate.save(directory / CERTIFICATE_FILE)
        self.memory.to_jsonl(directory / RECORDS_FILE)
        names += [CERTIFICATE_FILE, RECORDS_FILE]
        write_card(directory, model_card(self.certificate, self.adapter.placement, self.base, self.manifest.bits))
        files = {name: file_sha256(directory / name) for name in sorted(names)}
        self.manifest.model_copy(update={"files": files}).save(directory)
        clear(directory)

    @classmethod
    def read(
        cls, directory: str | Path, base: Base | None = None, announce: Callable[[str], None] = lambda _: None
    ) -> Self:
        """A bundle from its directory.

        Args:
            directory: a whole bundle.
            base: already loaded; None: the one the manifest names, in the dtype it was certified in, on this machine's
                device, without running any code that comes with it.
            announce: told in a sentence when loading that takes long.

        Raises:
            ArtifactError: no bundle, an unfinished or changed one, or one of a newer schema.
            BundleError: base model, tokenizer or chat template are not those it was learnt with.
        """
        directory = Path(directory)
        manifest = Manifest.read(directory)
        certificate = Certificate.read(directory / CERTIFICATE_FILE)
        memory = learnt_records(directory, certificate)
        base = base or load(base_config(manifest), announce)
        refuse_other_base(manifest, base)
        refuse_other_tokens(manifest, base)
        adapter = read_adapter(directory, Placement.from_dict(manifest.placement), base.device)
        if adapter.sha256(getattr(torch, manifest.base["dtype"])) != certificate.subject.adapter_sha256:
            raise BundleError(
                f"{directory / CERTIFICATE_FILE} was measured on another adapter than the one beside it; "
                "restore the bundle, or learn again"
            )
        return cls(memory=memory, base=base, adapter=adapter, certificate=certificate, manifest=manifest)

    @property
    def encode_config(self) -> EncodeConfig:
        """How its prompts become ids."""
        return self.manifest.run_config.encode

    def certify(self, memory: Memory | None = None, advance: Callable[[int], None] = lambda _: None) -> Certificate:
        """Measures the bundle anew.

        Args:
            memory: records to measure; None: those it was taught.
            advance: told a number of records after each batch, of twice the memory's in all.
        """
        encoded = encode(memory or self.memory, self.base.tokenizer, self.encode_config, self.base.max_tokens)
        if memory is None and encoded.prompt_fingerprint != self.manifest.prompt_fingerprint:
            raise BundleError("the records' prompts have other token ids than those that were learnt")
        return check(self.base, self.adapter, encoded, self.manifest.run_config.certify, advance)

    def recite(self, prompt: Prompt, max_new_tokens: int = LONGEST_ANSWER_TOKENS) -> str:
        """What greedy decoding answers to ``prompt``, up to the end of its turn.

        Args:
            prompt: one user turn, or the turns of a conversation.
            max_new_tokens: where an answer that does not end is cut.

        Raises:
            RecordsError: the prompt cannot be rendered, or fills the model's context.
        """
        tokenizer, config = self.base.tokenizer, self.encode_config
        prompt_ids = encode_prompt(prompt, tokenizer, config)
        stop_id = find_stop_id(tokenizer, config)
        room = max_new_tokens if self.base.max_tokens is None else self.base.max_tokens - len(prompt_ids)
        if room < 1:
            flaw = f"its {len(prompt_ids):,} tokens leave no room in the model's context of {self.base.max_tokens:,}"
            raise RecordsError([Problem("prompt", f"{flaw}; shorten it")])
        with attached(self.base.model, self.adapter):
            [ids] = greedy(self.base, [prompt_ids], min(max_new_tokens, room), stop_id, stop_id or 0)
        return decode_answer(prompt_ids, [token_id for token_id in ids if token_id != stop_id], tokenizer)

    def summary(self, directory: str | Path | None = None) -> dict[str, Any]:
        """The run in numbers, as ``byheart learn --json`` prints it."""
        return {**self.manifest.summary.model_dump(), "bundle": str(directory) if directory is not None else None}


class Claim(enum.Enum):
    """What a directory holds for a run that wants to write there."""

    EMPTY = "nothing"
    RESUMABLE = "a checkpoint of this run"
    COMPLETE = "this run's result"


def claim(directory: Path, run_fingerprint: str | None = None) -> Claim:
    """Makes sure that a run may write in ``directory``, and that nothing of another's is there.

    Args:
        directory: of the bundle.
        run_fingerprint: identity of the run, for which the directory is made; None: not known yet, only looks.

    Raises:
        ArtifactError: it cannot be written, or holds another run or somebody else's files.
    """
    try:
        if run_fingerprint is not None:
            directory.mkdir(parents=True, exist_ok=True)
        held = {path.name for path in directory.iterdir()} if directory.exists() else set[str]()
    except OSError as error:
        raise ArtifactError(f"cannot use {directory} for output: {error.strerror}; choose another --out") from error
    standing = next(place for place in (directory, *directory.absolute().parents) if place.exists())
    if not standing.is_dir():
        raise ArtifactError(f"{standing} is a file; choose another --out")
    if not os.access(standing, os.W_OK | os.X_OK):
        raise ArtifactError(f"cannot write in {standing}: permission denied; choose another --out")
    ours = {MANIFEST_FILE, CHECKPOINT_FILE} & held
    left = {name for name in held if not name.startswith(".")}
    if not ours and (strange := sorted(left - _OWN_FILES if CLAIM_FILE in held else left)):
        raise ArtifactError(
            f"{directory} is not empty (it holds {', '.join(strange[:3])}) and is no run of byheart; "
            "choose another --out"
        )
    if run_fingerprint is None:
        return Claim.EMPTY
    if not ours:
        theirs, found = _claimant(directory) if left else run_fingerprint, Claim.EMPTY
    elif MANIFEST_FILE in held:
        theirs, found = Manifest.read(directory).run_fingerprint, Claim.COMPLETE
    else:
        theirs, found = read_header(directory / CHECKPOINT_FILE)["run_fingerprint"], Claim.RESUMABLE
    if theirs != run_fingerprint:
        raise ArtifactError(
            f"{directory} holds another run (other records, settings or base model); choose another --out, or remove it"
        )
    if found is Claim.EMPTY:
        write_json(directory / CLAIM_FILE, _CLAIM_KIND, _CLAIM_VERSION, {"run_fingerprint": run_fingerprint})
    return found


def _claimant(directory: Path) -> str | None:
    """Fingerprint of the run that claimed an unfinished directory."""
    return read_json(directory / CLAIM_FILE, _CLAIM_KIND, _CLAIM_VERSION).get("run_fingerprint")


def clear(directory: Path) -> None:
    """Removes what only an unfinished run needs: claim, choice of the rank, checkpoint, activations, and what a killed
    process left half written.
    """
    needless = (CHECKPOINT_FILE, ACTIVATIONS_FILE, FIRST_RANK_FILE, CLAIM_FILE)
    with contextlib.suppress(OSError):
        for path in (*(directory / name for name in needless), *directory.glob(".*.partial")):
            path.unlink(missing_ok=True)
