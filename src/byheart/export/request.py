"""What is asked of an export, and what it gives back. Loads nothing heavy, so that a command line can be read first."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, cast, get_args

from byheart.certification.certificate import Certificate
from byheart.errors import SettingsError, unknown
from byheart.export.engine_certificate import EngineCertificate

ExportName = Literal["gguf", "merged", "mlx", "ollama", "peft"]
EXPORT_NAMES: tuple[str, ...] = get_args(ExportName)

ENGINES: dict[str, str] = {
    "gguf": "llama.cpp",
    "merged": "a merged model",
    "mlx": "mlx-lm",
    "ollama": "Ollama",
    "peft": "vLLM and SGLang",
}
"""Who loads an export, for messages."""

DEFAULT_PLACES: dict[str, str] = {
    "gguf": "adapter.gguf",
    "merged": "merged",
    "mlx": "mlx",
    "ollama": "ollama",
    "peft": "peft",
}
"""Where an export goes inside the bundle's directory, unless another place is asked for."""

_CHECKED = {"gguf", "merged", "ollama"}
"""Exports whose engine runs here; merged is always checked, since it is another model."""
_WITH_BASE_GGUF = {"gguf", "ollama"}


class Listener(Protocol):
    """Is told what happens; any `byheart.progress.Reporter` is one."""

    def say(self, sentence: str) -> None:
        """Something happened, or something long begins."""
        ...

    def phase(self, name: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
        """A countable piece of work; the function it yields is told how much more of ``total`` is done."""
        ...


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """What is asked.

    Attributes:
        name: of the export.
        directory: of the bundle.
        out: the file or directory to write.
        check: whether every record is run in the engine.
        base_gguf: a file, or a type to make one of; None: the base's own.
    """

    name: ExportName
    directory: Path
    out: Path
    check: bool = False
    base_gguf: str | None = None

    @classmethod
    def parse(
        cls, directory: Path, name: str, *, out: Path | None = None, check: bool = False, base_gguf: str | None = None
    ) -> ExportRequest:
        """A request from plain values.

        Raises:
            SettingsError: there is no such export, or it has no use for what is given.
        """
        if name not in EXPORT_NAMES:
            raise SettingsError(f"--to: {unknown('export', name, EXPORT_NAMES)}")
        if check and name not in _CHECKED:
            raise SettingsError(
                f"--check: no engine that reads --to {name} runs here; allowed with {', '.join(sorted(_CHECKED))}"
            )
        if base_gguf is not None and name not in _WITH_BASE_GGUF:
            raise SettingsError(
                f"--base-gguf has no use for --to {name}; allowed with {', '.join(sorted(_WITH_BASE_GGUF))}"
            )
        return cls(cast(ExportName, name), directory, out or directory / DEFAULT_PLACES[name], check, base_gguf)


@dataclass(frozen=True, slots=True)
class Exported:
    """What came of it.

    Attributes:
        path: the file or directory written.
        files: names of the files in it; of a single file its own.
        how: labelled commands or sentences for whoever goes on from here.
        certificate: of the merged model.
        engine_certificate: of the engine's run over every record.
    """

    path: Path
    files: tuple[str, ...]
    how: tuple[tuple[str, str], ...] = ()
    certificate: Certificate | None = None
    engine_certificate: EngineCertificate | None = None

    @property
    def is_exact(self) -> bool:
        """Whether every record that was checked came back to the letter; True where none was."""
        merged = self.certificate is None or self.certificate.is_complete
        return merged and (self.engine_certificate is None or self.engine_certificate.is_complete)
