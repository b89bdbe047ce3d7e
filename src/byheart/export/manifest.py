"""The manifest of a bundle: a directory that holds the adapter, what it was taught, the proof, and how it came about.

adapter_config.json, adapter_model.safetensors   what PEFT and the engines load
certificate.json                                 what was measured
records.jsonl                                    what was learnt; the adapter tells it to whoever asks: keep both safe
metrics.jsonl                                    every epoch
byheart.json                                     the manifest, written last: without it the bundle is not whole
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from byheart.artifacts import read_json, write_json
from byheart.errors import ArtifactError
from byheart.fingerprint import file_sha256

MANIFEST_FILE = "byheart.json"
CERTIFICATE_FILE = "certificate.json"
RECORDS_FILE = "records.jsonl"
METRICS_FILE = "metrics.jsonl"
CHECKPOINT_FILE = "checkpoint.safetensors"
KIND = "bundle"
SCHEMA_VERSION = 1


class Manifest(BaseModel):
    """How a bundle came about, and the hashes of its files."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    run_fingerprint: str
    """Identity of the run: settings, records' ids, base model."""
    settings: dict[str, Any]
    """The full resolved settings."""
    placement: dict[str, Any]
    """The adapter's exact modules, rank and scale."""
    base: dict[str, Any]
    """Identity of the base model."""
    tokenizer_fingerprint: str
    """Hash of the tokenizer."""
    template_fingerprint: str
    """Hash of the chat template and its settings."""
    prompt_fingerprint: str
    """Hash of every record's exact prompt ids."""
    summary: dict[str, Any]
    """What ``byheart learn --json`` prints, but for ``bundle``."""
    stop_reason: str
    """certified, budget or plateau."""
    rank_reason: str
    """Why the adapter has its rank."""
    nll_before_nats: float
    """Mean loss of the answer tokens under the base model alone."""
    bits: float
    """Information in the records that come back; see docs/certificate.md."""
    files: dict[str, str]
    """sha256 of the bundle's other files."""

    def save(self, directory: Path) -> None:
        """Writes the manifest, which makes the bundle whole."""
        write_json(directory / MANIFEST_FILE, KIND, SCHEMA_VERSION, self.model_dump(mode="json"))

    @classmethod
    def read(cls, directory: Path) -> Self:
        """The manifest of a whole bundle.

        Raises:
            ArtifactError: no bundle, an unfinished one, one that was changed, or one of a newer schema.
        """
        path = directory / MANIFEST_FILE
        if not path.is_file():
            if (directory / CHECKPOINT_FILE).is_file():
                raise ArtifactError(
                    f"{directory} is an unfinished run; give the same learn command again and it goes on"
                )
            raise ArtifactError(f"{directory} is not a byheart bundle: it has no {MANIFEST_FILE}")
        try:
            manifest = cls.model_validate(read_json(path, KIND, SCHEMA_VERSION))
        except ValidationError as error:
            raise ArtifactError(f"{path} is not a whole manifest: {error.error_count()} fields are wrong") from error
        for name, digest in manifest.files.items():
            if not (directory / name).is_file() or file_sha256(directory / name) != digest:
                raise ArtifactError(
                    f"{directory / name} is missing or was changed after the bundle was written; "
                    "learn again, or restore it"
                )
        return manifest
