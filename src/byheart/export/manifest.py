"""The manifest of a bundle: a directory that holds the adapter, what it was taught, the proof, and how it came about.

adapter_config.json, adapter_model.safetensors   what PEFT and the engines load
certificate.json                                 what was measured
records.jsonl                                    what was learnt; the adapter tells it to whoever asks: guard both
metrics.jsonl                                    every epoch
README.md                                        the model card; edited freely, and no part of what makes a bundle whole
byheart.json                                     the manifest, written last: without it the bundle is not whole
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, FiniteFloat, NonNegativeInt, PositiveInt, ValidationError

from byheart.artifacts import read_json, write_json
from byheart.certification.certificate import Certificate
from byheart.config import RunConfig
from byheart.errors import ArtifactError, SettingsError
from byheart.fingerprint import file_sha256
from byheart.learning.events import Growth
from byheart.memory.records import Memory

MANIFEST_FILE = "byheart.json"
CERTIFICATE_FILE = "certificate.json"
RECORDS_FILE = "records.jsonl"
METRICS_FILE = "metrics.jsonl"
CHECKPOINT_FILE = "checkpoint.safetensors"
WEIGHTS_FILE = "adapter_model.safetensors"
ADAPTER_CONFIG_FILE = "adapter_config.json"
BYPASS_FILE = "mlp_bypass.safetensors"
KIND = "bundle"
SCHEMA_VERSION = 1


class _Plain(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class _Site(_Plain):
    path: str
    num_in: PositiveInt
    num_out: PositiveInt


class _Placement(_Plain):
    layers: tuple[NonNegativeInt, ...]
    sites: tuple[_Site, ...]
    lora_rank: PositiveInt
    lora_alpha: FiniteFloat
    lora_dropout: FiniteFloat
    is_bypass: bool


class _Base(_Plain):
    name: str
    architecture: str
    revision: str | None
    weights_sha256: str | None
    dtype: Literal["bfloat16", "float16", "float32", "float64"]
    device: str
    attention: str


class Planned(_Plain):
    """What was planned of an adapter's first rank; see `byheart.law.plan.Plan` and `byheart.planning.choice`."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    lora_rank: PositiveInt
    """The adapter began with."""
    planned_lora_rank: PositiveInt | None = None
    """The smallest that was planned to do, of those that ``lora_rank: auto`` takes, or the nearest to it. Where it is
    less, more was taken since learning is quicker with room; null in older manifests."""
    probability: FiniteFloat
    """That every record would be certified at the rank it began with."""
    predicted_nll_nats: FiniteFloat | None
    """Mean loss after learning; null where the calibration carries no law."""
    extrapolates: bool
    """Whether the memory, or the rank it began with, was outside what was calibrated."""

    @classmethod
    def of(cls, taken: dict[str, Any], planned_lora_rank: int) -> Self:
        """Of a `byheart.law.plan.PlannedRank`, plain, and the rank that the plan has."""
        names = cls.model_fields.keys() & taken.keys()
        told = {name: taken[name] for name in names}
        return cls(planned_lora_rank=planned_lora_rank, extrapolates=taken["extrapolation"] > 1, **told)


class Summary(_Plain):
    """A run in numbers: what ``byheart learn --json`` prints, but for ``bundle``."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    num_records: int
    num_answer_tokens: int
    exact_match: float
    num_certified: int
    num_recited: int
    num_failed: int
    token_accuracy: float
    nll_nats: float
    min_probability: float
    lora_rank: int
    num_parameters: int
    bits_per_parameter: float
    epochs: int
    train_seconds: float
    """Of training steps, over all starts of the run."""
    total_seconds: float
    """Of everything, over all starts; what a killed one did after its last checkpoint is not counted."""
    model: str


def _of(shape: type[_Plain]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Plain values, unchanged, that have the fields of ``shape``."""

    def checked(values: dict[str, Any]) -> dict[str, Any]:
        shape.model_validate(values)
        return values

    return checked


class Manifest(BaseModel):
    """How a bundle came about, and the hashes of its files."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    run_fingerprint: str
    """Identity of the run: settings, records' ids, base model."""
    settings: dict[str, Any]
    """The full resolved settings."""
    placement: Annotated[dict[str, Any], AfterValidator(_of(_Placement))]
    """The adapter's exact modules, rank and scale."""
    base: Annotated[dict[str, Any], AfterValidator(_of(_Base))]
    """Identity of the base model."""
    tokenizer_fingerprint: str
    """Hash of the tokenizer."""
    template_fingerprint: str
    """Hash of the chat template and its settings."""
    prompt_fingerprint: str
    """Hash of every record's exact prompt ids."""
    summary: Summary
    """The run in numbers."""
    stop_reason: str
    """certified, budget or plateau."""
    weights_epoch: PositiveInt
    """The epoch that the weights are of; before the last where an earlier one was better."""
    rank_reason: str
    """Why the adapter has its rank, or began with it."""
    plan: Planned | None = None
    """What the rank was planned by; null where it was asked for, or chosen by the rule by bits."""
    growths: tuple[Growth, ...]
    """At which epochs it grew, from which rank to which."""
    nll_before_nats: float
    """Mean loss of the answer tokens under the base model alone."""
    bits: float
    """Information in the records that come back; see docs/certificate.md."""
    files: dict[str, str]
    """sha256 of the bundle's other files."""

    @cached_property
    def run_config(self) -> RunConfig:
        """The settings, typed.

        Raises:
            ArtifactError: they are not settings of a run.
        """
        try:
            return RunConfig.parse(self.settings, MANIFEST_FILE)
        except SettingsError as error:
            raise ArtifactError(
                f"the settings in a bundle's {MANIFEST_FILE} are not those of a run: {error}"
            ) from error

    @property
    def file_names(self) -> set[str]:
        """The files that make up the bundle, but for the manifest itself and the metrics."""
        adapter = {BYPASS_FILE} if self.placement["is_bypass"] else {WEIGHTS_FILE, ADAPTER_CONFIG_FILE}
        return {CERTIFICATE_FILE, RECORDS_FILE} | adapter

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
            wrong = sorted({".".join(map(str, detail["loc"])) for detail in error.errors(include_url=False)})
            raise ArtifactError(
                f"{path} is not a whole manifest: {', '.join(wrong[:5])} missing, unknown or of the wrong type; "
                "restore it"
            ) from error
        try:
            _ = manifest.run_config
        except ArtifactError as error:
            raise ArtifactError(f"{path} is not a whole manifest: {error}") from error
        if wrong := sorted(manifest.files.keys() ^ manifest.file_names):
            raise ArtifactError(
                f"{path} is not a whole manifest: its files must be {', '.join(sorted(manifest.file_names))}; "
                f"missing or left over: {', '.join(wrong[:5])}"
            )
        for name, digest in manifest.files.items():
            if not (directory / name).is_file() or file_sha256(directory / name) != digest:
                raise ArtifactError(
                    f"{directory / name} is missing or was changed after the bundle was written; "
                    "restore it, or learn again with another --out, or after removing the directory"
                )
        return manifest


def learnt_records(directory: Path, certificate: Certificate) -> Memory:
    """What a bundle was taught.

    Args:
        directory: of the bundle.
        certificate: its own.

    Raises:
        ArtifactError: the certificate is not of these records.
    """
    memory = Memory.from_file(directory / RECORDS_FILE, max_file_bytes=2**40)
    if [record.id for record in certificate.records] != [record.id for record in memory]:
        raise ArtifactError(f"{directory / CERTIFICATE_FILE} is not of the records in {directory / RECORDS_FILE}")
    return memory
