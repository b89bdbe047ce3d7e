"""In which settings our cells differ from those of the paper's own preset: what a reader must know before comparing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from byheart.paper.findings import Finding
from byheart.paper.preset import ExperimentName, read_preset
from byheart.paper.published import FORMS, PAPER_MODELS, Form, PaperModel

Plain = Mapping[str, Any]
"""A cell's settings as JSON has them: ``{"run": …, "task": …}``."""


def _size(plain: Plain) -> str:
    task = plain["task"]
    if task.get("num_answer_tokens"):
        return f"{task['num_answer_tokens']:,} tokens"
    return f"{task['num_pairs']:,} pairs" if task.get("num_pairs") else "all"


def _batch(plain: Plain) -> str:
    learn = plain["run"]["learn"]
    return f"{learn['batch_size']}×{learn['accumulation']}"


def _placement(plain: Plain) -> str:
    placement = plain["run"]["placement"]
    return f"{placement['layers']}/{placement['modules']}"


def _optimizer(plain: Plain) -> str:
    learn, method = plain["run"]["learn"], plain["run"]["method"]
    averaging = "by the memory" if learn["averaging"] is None else f"{learn['averaging']:g}"
    return (
        f"{learn['initial']} first weights, betas {learn['betas'][0]:g} and {learn['betas'][1]:g}, averaging "
        f"{averaging}, {learn['decay']} decay, margin {method['margin']:g}"
    )


def _system_prompt(plain: Plain) -> str:
    encode = plain["run"]["encode"]
    return "no chat" if encode["template"] == "raw" else encode["system_prompt"] or "the template's own"


_SETTINGS: dict[str, Callable[[Plain], str]] = {
    "model": lambda plain: str(plain["run"]["model"]["name"]),
    "placement": _placement,
    "size": _size,
    "random ratio": lambda plain: f"{plain['task'].get('random_ratio', 'none')}",
    "rate": lambda plain: f"{plain['run']['learn']['learning_rate'] or 'by the placement'}",
    "epochs": lambda plain: f"{plain['run']['learn']['epochs'] or 'by the memory'}",
    "batch": _batch,
    "dropout": lambda plain: f"{plain['run']['placement']['lora_dropout']:g}",
    "optimizer": _optimizer,
    "chat and system prompt": _system_prompt,
}
"""Setting → how it is told. The rank is what is compared over, and is no difference."""

_OWN_DATA = "names, numbers and texts are byheart's own, not the authors'"


def differences(ours: Sequence[Plain], theirs: Sequence[Plain]) -> dict[str, str]:
    """Setting → what ours has in place of what theirs has; only those in which they differ.

    Args:
        ours: settings of our cells.
        theirs: settings of the cells that they stand beside.

    >>> differences([], [])
    {}
    """
    found: dict[str, str] = {}
    for name, tell in _SETTINGS.items():
        mine, other = (list(dict.fromkeys(map(tell, cells))) for cells in (ours, theirs))
        if mine and other and set(mine) != set(other):
            found[name] = f"{_list(mine)}, not {_list(other)}"
    return found


def from_published(findings: Sequence[Finding], model: PaperModel, experiment: ExperimentName) -> dict[str, str]:
    """The same against the preset that runs the paper as it was, for the forms of the method that are there."""
    kinds = {(each.form, each.task) for each in findings}
    found = differences(
        [{"run": each.result.run, "task": each.result.task} for each in findings],
        [plain for form, task in sorted(kinds) for plain in _published_cells(model, experiment, form, task)],
    )
    if any(each.result.task.get("source", "generated") is None for each in findings):
        found["data"] = _OWN_DATA
    return found


def sentences(apart: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Differences of several kinds of cells as notes: what all have in common first, and once.

    >>> sentences({"SFT": {"model": "a, not b", "epochs": "60, not 200"}, "OT": {"model": "a, not b"}})
    ['all cells differ from the paper in: model (a, not b)', 'SFT differs from the paper in: epochs (60, not 200)']
    """
    if len(apart) < 2:
        return [sentence(name, found) for name, found in apart.items()]
    common = dict(set.intersection(*(set(found.items()) for found in apart.values())))
    ordered = {key: told for key, told in next(iter(apart.values())).items() if key in common}
    own = {name: {key: told for key, told in each.items() if key not in common} for name, each in apart.items()}
    alike: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for name, found in own.items():
        if found or not ordered:
            alike.setdefault(tuple(found.items()), []).append(name)
    whole = ["all cells differ from the paper in: " + _told(ordered)] if ordered else []
    return whole + [sentence("; ".join(names), dict(found), len(names)) for found, names in alike.items()]


def sentence(name: str, found: Mapping[str, str], num_names: int = 1) -> str:
    """Differences as one note, of one kind of cells or of several that ``name`` lists.

    >>> sentence("SFT", {"epochs": "60, not 200"})
    'SFT differs from the paper in: epochs (60, not 200)'
    """
    if not found:
        return f"{name} {'does' if num_names == 1 else 'do'} not differ from the paper in any setting that is known"
    return f"{name} {'differs' if num_names == 1 else 'differ'} from the paper in: {_told(found)}"


def _told(found: Mapping[str, str]) -> str:
    return "; ".join(f"{key} ({told})" for key, told in found.items())


@lru_cache(maxsize=64)
def _published_cells(model: PaperModel, experiment: ExperimentName, form: Form, task: str) -> tuple[Plain, ...]:
    """Each different setting of the paper's cells once, whatever their rank."""
    cells: dict[str, Plain] = {}
    for draft in read_preset(model).drafts(experiment, PAPER_MODELS[model]):
        run = draft.run
        if FORMS[run.method.name] == form and draft.task.name == task:
            plain: Plain = {"run": run.model_dump(mode="json"), "task": draft.task.model_dump(mode="json")}
            cells.setdefault(" ".join(tell(plain) for tell in _SETTINGS.values()), plain)
    return tuple(cells.values())


def _list(values: Sequence[str]) -> str:
    shown = list(values[:4])
    return ", ".join(shown) + (f" and {len(values) - len(shown)} more" if len(values) > len(shown) else "")
