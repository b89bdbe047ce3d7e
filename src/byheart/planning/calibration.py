"""A calibration: the cells that were run for one base model, placement and method, and what was fitted to them.

One JSON document that holds all a plan needs, its cells as plain rows among it, so that anything can be fitted to them
again. It is looked for by the model's weights, the placement and the method, in the user's data directory first, then
among those that ship with the package; and it counts only for runs with the settings that its cells were run with.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Self

import platformdirs
from pydantic import Field, PositiveInt

from byheart.config import RunConfig
from byheart.errors import LawError
from byheart.fingerprint import fingerprint
from byheart.law.document import Document, StoredDocument
from byheart.law.forecast import Forecast
from byheart.law.observation import Observation
from byheart.law.recall import Recall
from byheart.learning.config import ENGINE_VERSION
from byheart.model.base import BaseIdentity
from byheart.model.placement import Placement
from byheart.planning.timing import Timing

_KEY_DIGITS = 16
_NOT_LEARNT_BY = (
    "max_growths",
    "growth_rate_share",
    "step_memory_bytes",
    "activation_memory_bytes",
    "checkpoint_seconds",
    "report_to",
)
"""Settings of learning that decide nothing in a run whose rank is given."""


class Subject(Document):
    """What a calibration speaks of."""

    model: str
    """The base model's name."""
    revision: str | None
    """The hub's commit."""
    weights_sha256: str | None
    """Of the base model; null where only the commit is known."""
    layers: tuple[int, ...]
    """Adapted."""
    sites: tuple[str, ...]
    """Paths of the adapted modules."""
    is_bypass: bool
    """Whether they are the paper's bypass."""
    method: str
    """Of learning."""

    @classmethod
    def of(cls, base: BaseIdentity, placement: Placement, method: str) -> Self:
        """Of a run."""
        return cls(
            model=base.name,
            revision=base.revision,
            weights_sha256=base.weights_sha256,
            layers=placement.layers,
            sites=tuple(site.path for site in placement.sites),
            is_bypass=placement.is_bypass,
            method=method,
        )

    @property
    def key(self) -> str:
        """By which it is found: the same for every name of the same weights."""
        values = self.model_dump(mode="json")
        if self.weights_sha256 is not None:
            del values["model"], values["revision"]
        return fingerprint(values)[:_KEY_DIGITS]

    @property
    def file_name(self) -> str:
        """What its calibration is called."""
        return f"{self.key}.json"


class CalibrationCell(Document):
    """One cell, as a plain row."""

    cell: str
    group: str
    lora_rank: PositiveInt
    num_parameters: PositiveInt
    num_records: PositiveInt
    num_answer_tokens: PositiveInt
    nll_before_nats: float
    nll_after_nats: float
    num_certified: int
    has_converged: bool
    stop_reason: str
    epochs: int
    seconds: float

    @property
    def observation(self) -> Observation:
        """As the law takes it."""
        names = Observation.__dataclass_fields__
        values = {name: getattr(self, name) for name in type(self).model_fields if name in names}
        return Observation(**values, name=self.cell)


class Calibration(StoredDocument):
    """What a plan needs to know."""

    kind = "calibration"
    schema_version = 2
    mend = "remove it, or calibrate again"

    subject: Subject
    """Of what it speaks."""
    settings: dict[str, Any]
    """With which the cells were run, but for what differs between them; see `settings_of`."""
    parameters_per_rank: PositiveInt
    """Of the placement."""
    cells: tuple[CalibrationCell, ...] = Field(min_length=1)
    """Those that ran to their end."""
    num_failed: int
    """Cells that did not."""
    forecast: Forecast | None
    """The law; null where the cells carry none."""
    forecast_reason: str
    """Why it is null; else empty."""
    recall: Recall
    """The step to recall of every record."""
    timing: Timing | None
    """How long runs take; null where the cells do not tell."""
    machine: dict[str, Any]
    """On which the cells ran: dtype, device, num_threads."""
    versions: dict[str, str]
    """Of byheart and torch."""

    @property
    def dtype(self) -> str:
        """In which the cells' products were taken."""
        return self.machine["dtype"]

    @property
    def observations(self) -> list[Observation]:
        """The cells, as the law takes them."""
        return [cell.observation for cell in self.cells]


def settings_of(config: RunConfig) -> dict[str, dict[str, Any]]:
    """What of a run's settings decides how much comes back, beside model, placement, rank, and seed."""
    values = config.model_dump(mode="json")
    learn = {name: value for name, value in values["learn"].items() if name not in _NOT_LEARNT_BY}
    placement = {name: values["placement"][name] for name in ("lora_alpha", "lora_dropout")}
    return {
        "encode": values["encode"],
        "placement": placement,
        "method": values["method"],
        "learn": learn,
        "engine": {"version": ENGINE_VERSION},
    }


def differing(mine: Mapping[str, Mapping[str, Any]], theirs: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Names of settings that differ. One that a calibration does not have yet counts by its default; one that does not
    tell its engine is of an earlier one.

    Args:
        mine: of the run, as `settings_of` gives them.
        theirs: of the calibration.
    """
    defaults = settings_of(RunConfig()) | {"engine": {"version": None}}
    return [
        f"{section}.{name}"
        for section, settings in mine.items()
        for name, value in settings.items()
        if value != theirs.get(section, {}).get(name, defaults[section][name])
    ]


def directories() -> list[Path]:
    """Where calibrations are, in the order in which they are looked for."""
    return [user_directory(), Path(str(files("byheart.planning"))) / "calibrations"]


def user_directory() -> Path:
    """Where this user's calibrations are kept; ``BYHEART_DATA`` wins over the system's data directory."""
    return Path(os.environ.get("BYHEART_DATA") or platformdirs.user_data_path("byheart")) / "calibrations"


def find(base: BaseIdentity, placement: Placement, config: RunConfig) -> Calibration:
    """The calibration for a run: of those there are, the first that was made with its settings.

    Args:
        base: the model.
        placement: of any rank.
        config: the run's settings.

    Raises:
        LawError: there is none, or it was made with other settings; says how one is made.
        ArtifactError: it is damaged, or of a newer schema.
    """
    subject = Subject.of(base, placement, config.method.name)
    found = [Calibration.read(path) for each in directories() if (path := each / subject.file_name).is_file()]
    if not found:
        raise LawError(
            f"there is no calibration of {base.name} with layers {config.placement.layers}, modules "
            f"{config.placement.modules} and {config.method.name}; make one: {calibrate_command(config)}"
        )
    differences = [differing(settings_of(config), each.settings) for each in found]
    for calibration, names in zip(found, differences, strict=True):
        if not names:
            return calibration
    default = settings_of(RunConfig.build(None, method=config.method.name))
    mend = "plan with the defaults, or give --lora-rank"
    if settings_of(config) == default:  # they were others when it was made
        mend = f"make it anew: {calibrate_command(config)}"
    raise LawError(
        f"the calibration of {base.name} with layers {config.placement.layers} and modules "
        f"{config.placement.modules} was made with another {', '.join(differences[0])}; {mend}"
    )


def calibrate_command(config: RunConfig) -> str:
    """What to type for a calibration."""
    default, options = RunConfig(), []
    for name in ("layers", "modules"):
        if (value := getattr(config.placement, name)) != getattr(default.placement, name):
            options += [f"--{name}", value]
    if config.method.name != default.method.name:
        options += ["--method", config.method.name]
    return shlex.join(["byheart", "calibrate", config.model.name, *options])
