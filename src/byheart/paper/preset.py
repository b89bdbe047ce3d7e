"""A preset: which cells stand behind the paper's tables and figures, for one base model and one budget.

It is a set of sweep grids, one an experiment, and is validated as every grid is: by the settings of a run and of a
task. Knows no results.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import Field

from byheart.errors import SettingsError, unknown
from byheart.fingerprint import fingerprint
from byheart.paper.published import PaperModel
from byheart.settings import Settings, merged, read_yaml
from byheart.sweep.grid import Draft, Grid, Resources, Section, expand

ExperimentName = Literal[
    "law", "long-context", "phonebook", "phonebook-equal", "linear-rule", "scenarios", "convergence"
]
"""law: plain fine-tuning over ranks and lengths, on random text and on PhoneBook. long-context: every method over ranks
and lengths. phonebook: every method as published. phonebook-equal: every method with MemFT-SW's rate, epochs and
batches. linear-rule, scenarios: Tables 3 and 4. convergence: runs whose epochs are drawn."""

_TASKS: dict[ExperimentName, tuple[str, ...]] = {
    "law": ("long-context", "phonebook"),
    "long-context": ("long-context",),
    "phonebook": ("phonebook",),
    "phonebook-equal": ("phonebook",),
    "linear-rule": ("linear-rule",),
    "scenarios": ("scenarios",),
}
"""Experiment → what its cells may learn, where its tables and figures are of that alone."""
_DIRECTORY = Path(__file__).parent / "presets"


class Preset(Settings):
    """What ``byheart reproduce --preset`` reads."""

    about: str
    """What it is for, in a sentence or two; told before it runs."""
    took: str | None = None
    """How long all of it took, and on what, as measured; None: it has not been run by us."""
    paper_model: PaperModel
    """Whose published numbers stand beside ours."""
    base: dict[str, Any] = Field(default_factory=dict)
    """Settings of a run that all experiments share, as ``byheart learn --config`` takes them."""
    resources: Resources = Resources()
    """What one cell takes of a machine."""
    experiments: dict[ExperimentName, list[Section]]
    """Experiment → its sections, as a sweep's grid has them."""

    @property
    def fingerprint(self) -> str:
        """Of what is run; what is told of it aside."""
        return fingerprint(self.model_dump(mode="json", exclude={"about", "took"}))

    def drafts(self, experiment: ExperimentName, source: str = "preset") -> list[Draft]:
        """Every cell of an experiment, validated; none where the preset leaves it out.

        Raises:
            SettingsError: all that is wrong with any of them.
        """
        sections = self.experiments.get(experiment)
        if not sections:
            return []
        drafts = expand(Grid(base=self.base, grids=sections), f"{source}: {experiment}")
        allowed = _TASKS.get(experiment, ())
        for draft in drafts if allowed else ():
            if draft.task.name not in allowed:
                told = " or ".join(map(repr, allowed))
                raise SettingsError(
                    f"{source}: experiment {experiment!r} is of task {told}, not of {draft.task.name!r}"
                )
        return drafts

    def with_model(self, model: str | None) -> Preset:
        """The same cells on another base model; None: on its own."""
        if model is None:
            return self
        return self.model_copy(update={"base": merged(self.base, {"model": {"name": model}})})


def preset_names() -> list[str]:
    """The presets that byheart brings along.

    >>> "small" in preset_names()
    True
    """
    return sorted(path.stem for path in _DIRECTORY.glob("*.yaml"))


def read_preset(name: str) -> Preset:
    """A preset by its name, or from a YAML file of one's own.

    Args:
        name: of a preset, or a path that ends in ``.yaml`` or ``.yml``.

    Raises:
        SettingsError: unknown; unreadable; or with keys and values that no preset has.

    Example:
        >>> len(read_preset("tiny").drafts("scenarios"))
        3
    """
    path = _DIRECTORY / f"{name}.yaml"
    if name not in preset_names():
        path = Path(name)
        if path.suffix not in (".yaml", ".yml"):
            raise SettingsError(f"--preset: {unknown('preset', name, preset_names())}; or give a YAML file of your own")
    values = read_yaml(path)
    experiments = values.get("experiments")
    if isinstance(experiments, dict):
        for experiment in experiments:
            if experiment not in get_args(ExperimentName):
                raise SettingsError(f"{path}: {unknown('experiment', str(experiment), get_args(ExperimentName))}")
    return Preset.parse(values, str(path))
