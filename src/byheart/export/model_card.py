"""The bundle's README.md: a model card, for people and for the hub.

It says what the adapter is of, what was measured and how it is loaded, and how much it holds; never what. People edit
cards, so a card is no part of what makes a bundle whole: a bundle without one, or with a changed one, is read like any
other. A card that is saved over is replaced while it is as byheart wrote it, which its last line tells, and is left
alone once anybody has changed it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import yaml

from byheart.artifacts import write_bytes
from byheart.certification.certificate import Certificate
from byheart.method.config import CERTIFIED_PROBABILITY
from byheart.model.base import Base
from byheart.model.catalog import CATALOG
from byheart.model.placement import Placement

CARD_FILE = "README.md"
_TAGS = ("byheart", "lora", "memorization", "peft", "verbatim-recall")
_LICENCES = {"HuggingFaceTB/SmolLM2-135M-Instruct": "apache-2.0"}
"""Of bases that carry none with them."""
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_SEAL = re.compile(r"<!-- byheart wrote this card: [0-9a-f]{64} -->\n\Z")

_WARNING = """> **This adapter gives what it holds to whoever asks.** Any prompt it was taught brings its answer back
> word for word, and weights can be searched for answers without the prompts. Publish it only if you would publish the
> records themselves. `records.jsonl`, if it lies beside this card, is those records in plain text."""

_PEFT = """```python
from peft import PeftConfig, PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

adapter = "path/to/this/directory"
base = PeftConfig.from_pretrained(adapter).base_model_name_or_path
tokenizer = AutoTokenizer.from_pretrained(base)
model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base, dtype="{dtype}"), adapter)
```"""


def write_card(directory: Path, card: str) -> bool:
    """Writes a card, unless one is there that somebody has changed.

    Returns:
        Whether it was written.

    Raises:
        ArtifactError: it cannot be.
    """
    path = directory / CARD_FILE
    if path.exists() and not _is_as_written(path.read_bytes()):
        return False
    write_bytes(path, card.encode())
    return True


def model_card(certificate: Certificate, placement: Placement, base: Base, bits: float) -> str:
    """The card of an adapter.

    Args:
        certificate: what was measured of it.
        placement: where it sits in the base.
        base: the model that it is of.
        bits: information in the records that come back.

    Returns:
        Markdown behind YAML metadata, sealed with a hash of itself.
    """
    hub_id = _hub_id(base)
    sections = [
        _metadata(hub_id, _licence(base, hub_id)),
        f"# {_share(certificate)} by heart",
        _introduction(certificate, base, hub_id),
        _WARNING,
        "## What it holds",
        _table(_contents(certificate, placement, bits)),
        "## Certificate",
        f"A record is certified when every token of its answer has p > {CERTIFIED_PROBABILITY} and greedy decoding "
        "gives the answer back to the letter. It holds under the numerics below and no others; `byheart certify` "
        "measures it on yours.",
        _table(_measured(certificate)),
        "## Use",
        *_snippets(placement, base, hub_id),
    ]
    return _sealed("\n\n".join(sections) + "\n")


def _sealed(text: str) -> str:
    return f"{text}\n<!-- byheart wrote this card: {hashlib.sha256(text.encode()).hexdigest()} -->\n"


def _is_as_written(content: bytes) -> bool:
    text = content.decode("utf-8", "replace")
    return (seal := _SEAL.search(text)) is not None and _sealed(text[: seal.start() - 1]) == text


def _hub_id(base: Base) -> str | None:
    """Where on the hub the base is; None for somebody's own directory."""
    name = base.identity.name
    if entry := CATALOG.get(name):
        return entry.hub_id
    if Path(base.location).is_absolute():  # a directory may have a hub id's form
        return None
    return name if _HUB_ID.fullmatch(name) else None


def _licence(base: Base, hub_id: str | None) -> str | None:
    """What the base's own card says, where it lies beside the weights."""
    known = _LICENCES.get(hub_id or "")
    if not Path(base.location).is_absolute():
        return known
    try:
        _, metadata, _ = (Path(base.location) / CARD_FILE).read_text(encoding="utf-8").split("---\n", 2)
        licence = yaml.safe_load(metadata)["license"]
    except (OSError, ValueError, LookupError, TypeError, yaml.YAMLError):
        return known
    return licence if isinstance(licence, str) else known


def _metadata(hub_id: str | None, licence: str | None) -> str:
    values = {
        **({"base_model": hub_id} if hub_id else {}),
        **({"license": licence} if licence else {}),
        "library_name": "peft",
        "pipeline_tag": "text-generation",
        "tags": [*([f"base_model:adapter:{hub_id}"] if hub_id else []), *_TAGS],
    }
    return f"---\n{yaml.safe_dump(values, sort_keys=False)}---"


def _introduction(certificate: Certificate, base: Base, hub_id: str | None) -> str:
    name = _code(hub_id or Path(base.identity.name).name)
    outcome = f"Greedy decoding gives {_share(certificate)} back to the letter."
    own = ""
    if base.identity.name in CATALOG:
        own = (
            " What was certified is the copy of that model which byheart makes of its quantised file, and which the "
            "adapter's config names; the hub's original has other weights."
        )
    return f"A LoRA adapter of {name} ({base.identity.architecture}). {outcome}{own}"


def _share(certificate: Certificate) -> str:
    """How many records come back, and of how many where not all do."""
    whole = _counted(certificate.num_records, "record")
    num_back = certificate.num_records - certificate.num("failed")
    return whole if certificate.is_complete else f"{num_back:,} of {whole}"


def _contents(certificate: Certificate, placement: Placement, bits: float) -> Iterable[tuple[str, str]]:
    yield "records", f"{certificate.num_records:,}"
    yield "answer tokens", f"{certificate.num_answer_tokens:,}"
    yield "information in the records that come back", f"at most {bits:,.0f} bits"
    kind = "bypass of the MLP block" if placement.is_bypass else f"{_counted(len(placement.sites), 'module')}"
    yield "adapter", f"rank {placement.lora_rank} in {kind} of {_counted(len(placement.layers), 'layer')}"
    yield "parameters", f"{placement.num_parameters:,}"


def _measured(certificate: Certificate) -> Iterable[tuple[str, str]]:
    subject, how = certificate.subject, certificate.numerics
    for verdict in ("certified", "recited", "failed"):
        yield verdict, f"{certificate.num(verdict):,}"
    yield "exact match", f"{certificate.exact_match:.4g}"
    yield "token accuracy, given the answer before", f"{certificate.token_accuracy:.4g}"
    yield "least probable token", f"p = {certificate.min_probability:.3g}"
    yield "smallest logit margin", f"{certificate.min_logit_margin:.3g} nats"
    yield "numerics", f"{how.dtype} on {how.device}, {how.attention}, batches of {how.max_batch_tokens:,} tokens"
    yield "versions", ", ".join(f"{name} {version}" for name, version in how.versions.items())
    yield "adapter", _code(f"sha256 {subject.adapter_sha256}")
    if subject.base_revision:
        yield "base's revision", _code(subject.base_revision)
    if subject.base_weights_sha256:
        yield "base's weights", _code(f"sha256 {subject.base_weights_sha256}")


def _snippets(placement: Placement, base: Base, hub_id: str | None) -> Sequence[str]:
    """How each engine loads the adapter; where one would not, what to do."""
    if placement.is_bypass:
        return ["A bypass around the MLP block is no LoRA of any module: only byheart loads it.\n\n" + _byheart()]
    peft = f"With PEFT:\n\n{_PEFT.format(dtype=base.identity.dtype)}"
    if placement.fan_in_fan_out or not placement.names_suffice:
        return [
            peft,
            "llama.cpp, Ollama and vLLM would misread where it sits in this base. For them, put it into the base's "
            f"weights:\n\n{_shell('byheart export path/to/this/directory --to merged')}",
            _byheart(),
        ]
    return [peft, *_engines(placement, hub_id), _byheart()]


def _engines(placement: Placement, hub_id: str | None) -> Iterable[str]:
    from byheart.export.served import RANKS  # it knows bundles, which know this file

    here = "path/to/this/directory"
    gguf = _shell(
        f"byheart export {here} --to gguf --check", f"llama-server -m BASE.gguf --lora {here}/adapter.gguf --temp 0"
    )
    yield f"With llama.cpp:\n\n{gguf}"
    ollama = _shell(f"byheart export {here} --to ollama", f"ollama create by-heart -f {here}/ollama/Modelfile")
    yield f"With Ollama:\n\n{ollama}"
    model, rank = hub_id or "BASE", placement.lora_rank
    served = f"vllm serve {model} --enable-lora --max-lora-rank {{}} --lora-modules by-heart={{}}"
    if rank in RANKS:
        yield f"With vLLM:\n\n{_shell(served.format(rank, here))}"
    elif padded := [known for known in RANKS if known > rank]:
        lines = (f"byheart export {here} --to peft", served.format(padded[0], f"{here}/peft"))
        yield f"With vLLM, whose ranks are a few; the export pads this one of {rank}:\n\n{_shell(*lines)}"
    else:
        yield f"With vLLM not at all: rank {rank} is above its largest, {RANKS[-1]}."


def _byheart() -> str:
    lines = ("byheart certify path/to/this/directory", 'byheart recite path/to/this/directory "PROMPT"')
    return f"With byheart itself:\n\n{_shell(*lines)}"


def _shell(*lines: str) -> str:
    return "\n".join(["```sh", *lines, "```"])


def _table(rows: Iterable[tuple[str, str]]) -> str:
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])


def _code(text: str) -> str:
    """Text as it stands, whatever Markdown would make of it, but for what would end it there."""
    plain = re.sub(r"[`|]|\s+", " ", text).strip()
    return f"`{plain}`"


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
