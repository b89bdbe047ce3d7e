"""A PEFT adapter that byheart did not make, certified on records that whoever has it gives.

Its directory says which base model it is of, and maybe which tokenizer; what it was taught it does not say. How prompts
become ids is a setting of ours (``encode``): by default the chat template, which must be that of the training.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from byheart.config import RunConfig
from byheart.errors import ArtifactError, BundleError
from byheart.export.manifest import ADAPTER_CONFIG_FILE, CHECKPOINT_FILE, MANIFEST_FILE, WEIGHTS_FILE
from byheart.fingerprint import file_sha256, fingerprint
from byheart.memory.records import Memory

if TYPE_CHECKING:
    from byheart.certification.certificate import Certificate
    from byheart.model.base import Base

_TOKENIZER_FILE = "tokenizer_config.json"


def is_foreign(directory: str | Path) -> bool:
    """Whether a directory holds a PEFT adapter and no bundle, whole or unfinished."""
    directory = Path(directory)
    is_ours = any((directory / name).exists() for name in (MANIFEST_FILE, CHECKPOINT_FILE))
    return (directory / ADAPTER_CONFIG_FILE).is_file() and not is_ours


@dataclass(frozen=True)
class ForeignAdapter:
    """A PEFT adapter directory, not loaded yet.

    Attributes:
        directory: with ``adapter_config.json`` and ``adapter_model.safetensors``.
        config: which base model, and how records are encoded and measured.
    """

    directory: Path
    config: RunConfig

    @classmethod
    def read(
        cls, directory: str | Path, config: str | Path | Mapping[str, Any] | None = None, model: str | None = None
    ) -> Self:
        """The adapter in a directory, and the settings to certify it under; loads nothing.

        Args:
            directory: as PEFT saves it.
            config: a YAML file or plain values, of which ``model``, ``encode``, ``certify`` and ``format`` count.
            model: where its base model is; None: where ``config`` says, else where the adapter's own config says.

        Raises:
            ArtifactError: its config cannot be read, or its weights are not safetensors.
            BundleError: it names no base model, or one in a directory that is not here.
            SettingsError: as `RunConfig.build`.
        """
        directory = Path(directory)
        path = directory / ADAPTER_CONFIG_FILE
        try:
            told = json.loads(path.read_bytes())
            named, revision = told.get("base_model_name_or_path"), told.get("revision")
        except (OSError, ValueError, AttributeError) as error:
            raise ArtifactError(f"cannot read the adapter's config {path}: {error}") from error
        if not (directory / WEIGHTS_FILE).is_file():
            raise ArtifactError(
                f"{directory} has no {WEIGHTS_FILE}; byheart reads no other format, since pickled weights (.bin) can "
                "run code: load it with PEFT where you trust it, and save_pretrained it again"
            )
        settings = RunConfig.build(config, model=model)
        if "name" not in settings.model.model_fields_set:
            if not named or not isinstance(named, str):
                raise BundleError(f"{path} names no base model; say which it is with --model")
            if Path(named).is_absolute() and not Path(named).is_dir():
                raise BundleError(f"{path} has its base model in {named}, which is not here; say where with --model")
            own = {"name": named, "revision": settings.model.revision or revision}
            values = settings.model.model_dump() | own
            settings = settings.model_copy(update={"model": type(settings.model).parse(values, str(path))})
        return cls(directory, settings)

    @property
    def sha256(self) -> str:
        """Hash over the adapter's files: what a certificate calls it."""
        names = (ADAPTER_CONFIG_FILE, WEIGHTS_FILE)
        return fingerprint({"files": [[name, file_sha256(self.directory / name)] for name in names]})

    def certify(
        self, memory: Memory | None, base: Base | None = None, advance: Callable[[int], None] = lambda _: None
    ) -> Certificate:
        """Measures the adapter as stock PEFT loads it, exactly as a bundle's is measured.

        Prompts are encoded by the tokenizer beside the adapter, where there is one, else by the base model's.

        Args:
            memory: the records to measure.
            base: already loaded, given back as it was; None: the one the settings name.
            advance: told a number of records after each batch, of twice the memory's in all.

        Raises:
            BundleError: no records, or an adapter that PEFT cannot load onto the model.
            ModelError, RecordsError, SettingsError: as `load` and `encode`.
        """
        from byheart.certification.check import certify_as_it_stands
        from byheart.memory.encode import encode
        from byheart.model.base import load
        from byheart.model.peft_model import peft_loaded

        if memory is None:
            raise BundleError(f"{self.directory} says nothing of what it was taught; give the records to certify it on")
        base = self.with_own_tokenizer(base or load(self.config.model))
        encoded = encode(memory, base.tokenizer, self.config.encode, base.max_tokens)
        with peft_loaded(base, self.directory):
            return certify_as_it_stands(base, self.sha256, encoded, self.config.certify, advance)

    def with_own_tokenizer(self, base: Base) -> Base:
        """``base`` with the tokenizer that was saved beside the adapter, where one was."""
        if not (self.directory / _TOKENIZER_FILE).is_file():
            return base
        from byheart.model.peft_model import tokenizer_beside

        return replace(base, tokenizer=tokenizer_beside(self.directory))
