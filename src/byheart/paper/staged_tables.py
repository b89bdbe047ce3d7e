"""Tables 5 and 6: the settings of MemFT-SW on PhoneBook, the paper's beside those that a preset runs."""

from __future__ import annotations

from collections.abc import Sequence

from byheart.method.curriculum import PAPER_BOUNDARIES
from byheart.paper.preset import Preset
from byheart.paper.published import PAPER_MODELS, SOURCES, STAGED, STAGED_TABLES, StagedRun
from byheart.paper.table import Column, Table, Value
from byheart.sweep.grid import Draft

COLUMNS = (
    Column("num_answer_tokens", "answer tokens"),
    Column("published_learning_rate", "rate, paper"),
    Column("ours_learning_rate", "rate, preset"),
    Column("published_epochs", "epochs, paper"),
    Column("ours_epochs", "epochs, preset"),
    Column("published_batch", "batch × accumulation, paper"),
    Column("ours_batch", "batch × accumulation, preset"),
    Column("published_boundaries", "stages end at, paper"),
    Column("ours_boundaries", "stages end at, preset"),
    Column("differs_in", "differs in"),
)
_NAMES = ("rate", "epochs", "batch", "stages")


def staged_table(name: str, preset: Preset) -> Table:
    """A row for each size that the paper or the preset has.

    Args:
        name: table5 or table6.
        preset: whose cells are told; nothing is run.
    """
    model = STAGED_TABLES[name]
    published = {run.num_answer_tokens: run for run in STAGED[model]}
    ours = _staged(preset.drafts("phonebook"))
    rows = [_row(size, published.get(size), ours.get(size)) for size in sorted(published.keys() | ours.keys())]
    notes = [f"{run.num_answer_tokens:,}: {run.doubt}" for run in published.values() if run.doubt]
    notes.append(f"paper: source S ({SOURCES['S']}); that Table 6 is the one of Llama3.1-8B is inferred")
    notes.append("a dash: that size is not in the paper, or not in the preset")
    title = f"Table {name[-1]}: MemFT-SW on PhoneBook, {PAPER_MODELS[model]}"
    return Table(name, title, COLUMNS, tuple(rows), tuple(notes))


def _staged(drafts: Sequence[Draft]) -> dict[int, tuple[Value, ...]]:
    """Size → rate, epochs, batch and stages of the cells that run the curriculum."""
    runs: dict[int, tuple[Value, ...]] = {}
    for draft in drafts:
        size = getattr(draft.task, "num_answer_tokens", None)
        if draft.run.method.name != "memft-sw-curriculum" or size is None:
            continue
        learn, boundaries = draft.run.learn, draft.run.method.curriculum.boundaries
        if boundaries is None and learn.epochs is not None:
            boundaries = tuple(round(share * learn.epochs) for share in PAPER_BOUNDARIES)
        runs[size] = (
            learn.learning_rate or "by the placement",
            learn.epochs or "by the memory",
            f"{learn.batch_size}×{learn.accumulation}",
            "by the epochs" if boundaries is None else ", ".join(map(str, boundaries)),
        )
    return runs


def _row(size: int, published: StagedRun | None, ours: tuple[Value, ...] | None) -> tuple[Value, ...]:
    nothing: tuple[Value, ...] = (None,) * len(_NAMES)
    theirs = nothing if published is None else _told(published)
    mine = ours or nothing
    both = [value for pair in zip(theirs, mine, strict=True) for value in pair]
    apart = ""
    if published is not None and ours is not None:
        apart = ", ".join(name for name, a, b in zip(_NAMES, theirs, mine, strict=True) if a != b)
    return (size, *both, apart)


def _told(run: StagedRun) -> tuple[Value, ...]:
    stages = ", ".join(map(str, run.boundaries))
    return run.learning_rate, run.epochs, f"{run.batch_size}×{run.accumulation}", stages
