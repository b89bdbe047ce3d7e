"""How the cells of a sweep converged: loss and stubborn tokens over epochs, a line a cell."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import NamedTuple

from byheart.report.blocks import Axis, Block, Chart, Charts, Prose, Rule, Series
from byheart.report.paper_figures import SHARE_LABEL, VISITED_LABEL
from byheart.report.sweep_files import Row, SweepFiles
from byheart.sweep.course import Course

MOST_LINES = 300
"""Of each quantity on a page, all groups together."""
MOST_POINTS = 200
"""Of a line: with `MOST_LINES` of both quantities about 2 MB."""
_DIGITS = 5
_CURRICULUM = "memft-sw-curriculum"
_NOT_SHOWN = "Of a record that the curriculum has not shown yet no token counts as stubborn."
_NOTE = f"A line a cell, by rank, then by answer tokens; of long runs {MOST_POINTS} epochs, evenly apart."


class CourseLine(NamedTuple):
    """A cell's run as two lines."""

    name: str
    """In the legend."""
    points: Sequence[tuple[int, float, float]]
    """Epoch, mean loss of the visited tokens in nats, stubborn tokens as a share of all answer tokens."""


def course_charts(lines: Sequence[CourseLine], num_epochs: int, top_nats: float, note: str = "") -> tuple[Chart, Chart]:
    """Loss and stubborn tokens over epochs, a line a cell, from the first cell's shade to the last one's.

    Args:
        lines: of the cells.
        num_epochs: where the horizontal axis ends.
        top_nats: where that of the loss does.
        note: below both.
    """

    def series(at: int) -> list[Series]:
        return [
            Series(
                line.name,
                [(point[0], float(f"{point[at]:.{_DIGITS}g}")) for point in line.points],
                "line",
                shade=index / max(len(lines) - 1, 1),
            )
            for index, line in enumerate(lines)
        ]

    across = Axis("epoch", ends=(1, max(num_epochs, 2)))
    nats, share = Axis(VISITED_LABEL, ends=(0, top_nats)), Axis(SHARE_LABEL, ends=(0, 1))
    half = Rule("ln 2", y=math.log(2))
    return Chart(across, nats, series(1), [half], note), Chart(across, share, series(2), note=note)


def course_curves(files: SweepFiles) -> list[Block]:
    """Loss and stubborn tokens of each group of cells, all groups on the same axes; and which cells have no curve."""
    known = [row for rows in files.groups().values() for row in _ordered(rows) if row["cell"] in files.courses]
    shown = {row["cell"]: files.courses[row["cell"]] for row in islice(known, MOST_LINES)}
    blocks: list[Block] = []
    if shown:
        num_epochs = max(len(course.nll_nats) for course in shown.values())
        top_nats = max(max(course.nll_nats) for course in shown.values())
        losses: dict[str, Chart] = {}
        stubborn: dict[str, Chart] = {}
        for group, rows in files.groups().items():
            mine = [row for row in _ordered(rows) if row["cell"] in shown]
            if mine:
                lines = course_lines(mine, [shown[row["cell"]] for row in mine])
                note = " ".join(each for each in (_NOTE, curriculum_note(row["method"] for row in mine)) if each)
                losses[f"loss: {group}"], stubborn[f"stubborn tokens: {group}"] = course_charts(
                    lines, num_epochs, top_nats, note
                )
        blocks.append(Charts("Convergence, as training saw it", losses | stubborn))
    if num_left := len(known) - len(shown):
        blocks.append(Prose(f"The curves of {num_left:,} further cells would make the page too large."))
    if num_without := len(files.done) - len(known):
        blocks.append(
            Prose(f"{num_without:,} cells have no curve: an earlier byheart ran them, or their files are gone.")
        )
    return blocks


def _ordered(rows: Sequence[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: (row["lora_rank"], row["num_answer_tokens"], row["seed"], row["cell"]))


def course_lines(rows: Sequence[Row], courses: Sequence[Course]) -> list[CourseLine]:
    """A line for each cell, named by its rank, its length, and its seed where there are several.

    Args:
        rows: of the cells.
        courses: of each, its epochs.
    """
    has_seeds = len({row["seed"] for row in rows}) > 1
    return [
        CourseLine(
            f"rank {row['lora_rank']:,}, {row['num_answer_tokens']:,} tokens"
            + (f", seed {row['seed']}" if has_seeds else ""),
            _points(row, course),
        )
        for row, course in zip(rows, courses, strict=True)
    ]


def curriculum_note(methods: Iterable[str]) -> str:
    """What is to be said of methods that show records one after the other; nothing of others."""
    return _NOT_SHOWN if _CURRICULUM in methods else ""


def _points(row: Row, course: Course) -> list[tuple[int, float, float]]:
    return [
        (at + 1, course.nll_nats[at], course.num_stubborn_tokens[at] / row["num_answer_tokens"])
        for at in thinned(len(course.nll_nats))
    ]


def thinned(num: int) -> list[int]:
    """Indices of no more than `MOST_POINTS` of so many epochs, evenly apart, the first and the last among them.

    >>> thinned(3), len(thinned(1000)), thinned(1000)[-2:]
    ([0, 1, 2], 200, [994, 999])
    """
    if num <= MOST_POINTS:
        return list(range(num))
    return [round(step * (num - 1) / (MOST_POINTS - 1)) for step in range(MOST_POINTS)]
