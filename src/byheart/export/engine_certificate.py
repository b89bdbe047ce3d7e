"""A second certificate: what another engine gave back, record by record, from the files that it loads.

It lies beside the first one in the bundle, one file an engine and quantisation, and speaks of that engine, its version
and that base file alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from byheart.artifacts import read_json, write_json
from byheart.certification.certificate import Failure
from byheart.errors import ArtifactError

KIND = "engine certificate"
SCHEMA_VERSION = 2
_PATTERN = "certificate.*.json"

ChatVerdict = Literal["exact", "other prompt", "other text", "not asked"]


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)


class EngineNumerics(_Document):
    """What ran, and on what."""

    engine: str
    """The engine's name."""
    version: str
    """Of the engine."""
    base_file: str
    """Name of the base model's file."""
    base_sha256: str
    """Of that file's bytes."""
    quantisation: str
    """Of most of the base's weights, in the engine's words."""
    adapter_file_sha256: str
    """Of the bytes of the adapter's file as the engine loads it."""
    num_threads: int
    """Processor threads."""


class EngineRecord(_Document):
    """One record's verdict."""

    id: str
    """The record's id."""
    verdict: Literal["exact", "failed"]
    """exact: from the certified prompt ids, the engine's greedy answer has the certified ids."""
    p: tuple[float | None, ...]
    """Probability of each answer token up to the first difference; null where the engine does not tell it: of tokens
    that are a part of a character and not its last."""
    logit_margin: tuple[float | None, ...]
    """Of the same tokens: logit less the largest other one, nats."""
    first_failure: Failure | None
    """Null unless failed."""
    chat: ChatVerdict
    """What the engine's own chat template and chat answer made of it: exact; another prompt than the one certified;
    another text of the same ids; or not asked, since the prompt is no chat."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.verdict == "failed") != (self.first_failure is not None):
            raise ValueError("first_failure belongs to the verdict failed, and to no other")
        if len(self.p) != len(self.logit_margin):
            raise ValueError("p and logit_margin must have one entry a token each")
        return self


class EngineCertificate(_Document):
    """What an engine gave back."""

    numerics: EngineNumerics
    adapter_sha256: str
    """Hash over the adapter's tensors, as in the first certificate."""
    memory_fingerprint: str
    """Hash of every record's prompt ids and answer ids, as in the first certificate."""
    records: tuple[EngineRecord, ...]
    """In the memory's order."""

    @property
    def num_records(self) -> int:
        """All records."""
        return len(self.records)

    @property
    def num_exact(self) -> int:
        """Records that came back to the letter."""
        return sum(record.verdict == "exact" for record in self.records)

    @property
    def num_exact_in_chat(self) -> int:
        """Records that came back to the letter through the engine's own chat template and as its chat answer's text."""
        return sum(record.verdict == "exact" and record.chat == "exact" for record in self.records)

    @property
    def is_complete(self) -> bool:
        """Whether every record came back."""
        return self.num_exact == self.num_records

    @property
    def min_logit_margin(self) -> float | None:
        """Of all answer tokens that came, nats; None where none did."""
        margins = (margin for record in self.records for margin in record.logit_margin)
        return min((margin for margin in margins if margin is not None), default=None)

    @property
    def file_name(self) -> str:
        """In the bundle's directory."""
        return f"certificate.{self.numerics.engine}-{self.numerics.quantisation}.json"

    def save(self, directory: Path) -> Path:
        """Writes the certificate beside the bundle's own; one of the same engine and quantisation is replaced."""
        path = directory / self.file_name
        write_json(path, KIND, SCHEMA_VERSION, self.model_dump(mode="json"))
        return path

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads one.

        Raises:
            ArtifactError: missing, damaged, or of a newer schema.
        """
        try:
            return cls.model_validate(read_json(path, KIND, SCHEMA_VERSION))
        except ValidationError as error:
            raise ArtifactError(
                f"{path} is not a whole engine certificate ({error.error_count()} flaws); remove it, or export again "
                "with --check"
            ) from error

    @classmethod
    def of_bundle(cls, directory: Path) -> list[Self]:
        """Every one in a bundle's directory, by file name.

        Raises:
            ArtifactError: as `read` does.
        """
        return [cls.read(path) for path in sorted(directory.glob(_PATTERN))]
