"""GRID.yaml → drafts of cells: every combination of the axes' values, laid on the base settings.

Knows settings and tasks by their records, and no model. What it gives depends on the values alone: neither the order of
axes nor that of keys changes which cells there are.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field

from byheart.config import RunConfig
from byheart.errors import SettingsError, unknown
from byheart.fingerprint import canonical_json
from byheart.settings import Settings, merged, read_yaml
from byheart.tasks.registry import TaskConfig
from byheart.tasks.registry import parse as parse_task

SHORT_NAMES = {
    "lora_rank": "placement.lora_rank",
    "layers": "placement.layers",
    "modules": "placement.modules",
    "num_answer_tokens": "task.num_answer_tokens",
    "num_pairs": "task.num_pairs",
    "random_ratio": "task.random_ratio",
}
"""Axes by the names that people use, beside the full dotted ones."""

NAMED_SECTIONS = {"method": "method.name", "model": "model.name", "task": "task.name"}
"""Sections whose axis may hold names instead of mappings."""

_SHOWN = 20


class Resources(Settings):
    """What one cell takes of a machine. Decides where cells run, not what comes of them, and is no part of a cell."""

    num_cpus: float = Field(default=1, gt=0)
    """Processor cores; heeded by Ray. Local workers share the machine's cores among themselves."""
    num_gpus: float = Field(default=0, ge=0)
    """Cards, or a share of one; heeded by Ray. Local workers take the machine's cards in turn."""


class Section(Settings):
    """Axes, and what they are laid on."""

    base: dict[str, Any] = Field(default_factory=dict)
    """Settings of a run, as ``byheart learn --config`` takes them."""
    task: dict[str, Any] = Field(default_factory=dict)
    """Settings of a task: its ``name``, and what that task has."""
    axes: dict[str, list[Any]] = Field(default_factory=dict)
    """Name → values. A name is dotted (``learn.epochs``, ``task.num_answer_tokens``), short (``lora_rank``,
    ``num_answer_tokens``, ``random_ratio``, ``method``, ``seed``), or a section's (``placement``, ``task``), whose
    values are mappings; a placement may be written ``LAYERS/MODULES``."""
    exclude: list[dict[str, Any]] = Field(default_factory=list)
    """Combinations to leave out: axis → value, or list of values; all of an entry's axes must agree."""


class Grid(Section):
    """What ``byheart sweep`` reads: one section, or several that share what stands above them."""

    grids: list[Section] = Field(default_factory=list)
    """Sections, each laid on what stands beside ``grids``. A cell that two of them have is run once."""
    resources: Resources = Resources()

    @property
    def sections(self) -> list[Section]:
        """The sections, each with all that it shares."""
        shared = {name: getattr(self, name) for name in Section.model_fields}
        own = [{name: getattr(section, name) for name in section.model_fields_set} for section in self.grids]
        return [Section(**merged(shared, each)) for each in own or [{}]]


@dataclass(frozen=True)
class Draft:
    """A cell whose settings are known, and whose records are not made yet.

    Attributes:
        run: all settings of its run.
        task: all settings of its task.
        axes: full dotted name of each axis, as it is called in the table → the cell's value there.
    """

    run: RunConfig
    task: TaskConfig
    axes: Mapping[str, Any]


def read_grid(source: str | Path | Mapping[str, Any]) -> Grid:
    """A grid from a YAML file or plain values.

    Raises:
        SettingsError: unreadable, or with keys or values that no grid has.
    """
    if isinstance(source, Mapping):
        return Grid.parse(source, "grid")
    return Grid.parse(read_yaml(Path(source)), str(source))


def as_text(source: str | Path | Mapping[str, Any]) -> str:
    """A grid as YAML: a file's own text, comments and all, or plain values written out.

    Raises:
        SettingsError: the file cannot be read, or what was given is no grid.
    """
    if isinstance(source, Mapping):
        plain = read_grid(source).model_dump(mode="json", exclude_unset=True)
        return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)
    try:
        return Path(source).read_bytes().decode("utf-8")  # its line ends are its own
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"cannot read {source}: {error}") from error


def expand(grid: Grid, source: str = "grid") -> list[Draft]:
    """Every cell of a grid, validated; equal ones once.

    Args:
        grid: as read.
        source: what to name in errors.

    Raises:
        SettingsError: all that is wrong with any cell, each problem once, with the number of cells that have it.

    >>> grid = Grid(task={"name": "scenarios"}, axes={"lora_rank": [1, 2], "seed": [1, 2, 3]})
    >>> len(expand(grid))
    6
    """
    drafts: dict[str, Draft] = {}
    problems: Counter[str] = Counter()
    for section in grid.sections:
        if flaws := list(_flaws(section)):
            problems.update(f"{source}: {flaw}" for flaw in flaws)
            continue
        for axes in _combinations(section):
            try:
                draft = _draft(section, axes, source)
            except SettingsError as error:
                problems.update(str(error).split("\n"))
            else:
                drafts.setdefault(canonical_json([draft.run, draft.task]), draft)
    if not drafts and not problems:
        problems[f"{source}: exclude leaves no cell"] += 1
    if problems:
        told = [problem + (f" ({count} cells)" if count > 1 else "") for problem, count in problems.items()]
        more = [f"… and {len(told) - _SHOWN} more"] if len(told) > _SHOWN else []
        raise SettingsError("\n".join(told[:_SHOWN] + more))
    return list(drafts.values())


def full_name(axis: str) -> str:
    """The dotted name of an axis, as the table has it.

    >>> full_name("lora_rank"), full_name("method"), full_name("learn.epochs")
    ('placement.lora_rank', 'method.name', 'learn.epochs')
    """
    return SHORT_NAMES.get(axis) or NAMED_SECTIONS.get(axis, axis)


def _flaws(section: Section) -> Iterator[str]:
    """What is wrong with a section's axes, before any cell is made of them."""
    known = [*SHORT_NAMES, *RunConfig.model_fields, "task"]
    full: dict[str, str] = {}
    for axis, values in section.axes.items():
        if axis not in SHORT_NAMES and axis.split(".", maxsplit=1)[0] not in known:
            yield unknown("axis", axis, known) + ", or one of their settings, with a dot between"
        if not values:
            yield f"axes: {axis} has no values; give some, or leave it out"
        if twice := [value for value, count in Counter(map(_label, values)).items() if count > 1]:
            yield f"axes: {axis} has {twice[0]!r} twice; give each value once"
        if (other := full.setdefault(full_name(axis), axis)) != axis:
            yield f"axes: {axis} and {other} are the same setting; give one of them"
    for number, entry in enumerate(section.exclude, 1):
        if strange := [axis for axis in entry if full_name(axis) not in full]:
            yield f"exclude {number}: {unknown('axis', strange[0], section.axes)}"
        elif not entry or not any(_fits(entry, axes) for axes in _all_combinations(section)):
            yield f"exclude {number}: {entry} fits no cell; its values must be among the axes'"


def _all_combinations(section: Section) -> Iterator[dict[str, Any]]:
    for values in itertools.product(*section.axes.values()):
        yield dict(zip(section.axes, values, strict=True))


def _combinations(section: Section) -> Iterator[dict[str, Any]]:
    for axes in _all_combinations(section):
        if not any(_fits(entry, axes) for entry in section.exclude):
            yield axes


def _fits(entry: Mapping[str, Any], axes: Mapping[str, Any]) -> bool:
    """Whether a combination has one of the values that an entry names on each of its axes."""
    by_name = {full_name(axis): _label(value) for axis, value in axes.items()}
    return all(
        by_name[full_name(axis)] in map(_label, wanted if isinstance(wanted, list) else [wanted])
        for axis, wanted in entry.items()
    )


def _label(value: Any) -> Any:
    """A value as the table shows it, and by which equal ones are found to be equal."""
    return value if value is None or isinstance(value, (str, int, float, bool)) else canonical_json(value)


def _draft(section: Section, axes: Mapping[str, Any], source: str) -> Draft:
    tree: dict[str, Any] = {**section.base, "task": section.task}
    if "task" in section.base:
        raise SettingsError(f"{source}: base.task: the task has a section of its own beside base; move it there")
    for axis, value in axes.items():
        tree = merged(tree, _laid(axis, value, source))
    if "format" in tree:
        raise SettingsError(f"{source}: format: a sweep's records come from its task; leave it out")
    task = tree.pop("task")
    flaws: list[str] = []
    run_config = task_config = None
    try:
        run_config = RunConfig.parse(tree, source)
    except SettingsError as error:
        flaws.append(str(error))
    try:
        task_config = parse_task(task, f"{source}: task")
    except SettingsError as error:
        flaws.append(str(error))
    if run_config is not None and run_config.placement.lora_rank == "auto":
        flaws.append(
            f"{source}: placement.lora_rank is auto, which hangs on the calibrations where the cell runs; "
            "give a number in base.placement, or an axis lora_rank"
        )
    if flaws or run_config is None or task_config is None:
        raise SettingsError("\n".join(flaws))
    return Draft(run_config, task_config, {full_name(axis): _label(value) for axis, value in axes.items()})


def _laid(axis: str, value: Any, source: str) -> dict[str, Any]:
    """An axis' value as nested settings."""
    name = axis if isinstance(value, Mapping) else full_name(axis)
    if name == "placement" and not isinstance(value, Mapping):
        layers, slash, modules = str(value).partition("/")
        if not slash:
            raise SettingsError(
                f"{source}: placement: {value!r} is no placement; write LAYERS/MODULES, such as top:3/all-linear, or a "
                "mapping with layers and modules"
            )
        value = {"layers": layers, "modules": modules}
    nested: Any = value
    for part in reversed(SHORT_NAMES.get(name, name).split(".")):
        nested = {part: nested}
    return nested
