"""How the cells of a sweep converged: loss and stubborn tokens over epochs, a line a cell."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import islice

from byheart.report.blocks import Axis, Block, Chart, Charts, Prose, Rule, Series
from byheart.report.sweep_files import Row, SweepFiles

MOST_LINES = 300
"""Of each quantity on a page, all groups together."""
MOST_POINTS = 200
"""Of a line: with `MOST_LINES` of both quantities about 2 MB."""
_DIGITS = 5
_NOTE = f"A line a cell, by rank, then by answer tokens; of long runs {MOST_POINTS} epochs, evenly apart."


def course_curves(files: SweepFiles) -> list[Block]:
    """Loss and stubborn tokens of each group of cells, all groups on the same axes; and which cells have no curve."""
    known = [row for rows in files.groups().values() for row in _ordered(rows) if row["cell"] in files.courses]
    shown = {row["cell"]: files.courses[row["cell"]] for row in islice(known, MOST_LINES)}
    blocks: list[Block] = []
    if shown:
        num_epochs = max(len(course.nll_nats) for course in shown.values())
        top_nats = max(max(course.nll_nats) for course in shown.values())
        across = Axis("epoch", ends=(1, max(num_epochs, 2)))
        nats = Axis("loss of visited tokens (nats)", ends=(0, top_nats))
        share = Axis("tokens last seen at p ≤ 0.5 (share)", ends=(0, 1))
        losses: dict[str, Chart] = {}
        stubborn: dict[str, Chart] = {}
        for group, rows in files.groups().items():
            mine = [row for row in _ordered(rows) if row["cell"] in shown]
            if not mine:
                continue
            of_loss = [shown[row["cell"]].nll_nats for row in mine]
            of_share = [
                [count / row["num_answer_tokens"] for count in shown[row["cell"]].num_stubborn_tokens] for row in mine
            ]
            losses[f"loss: {group}"] = Chart(across, nats, _lines(mine, of_loss), [Rule("ln 2", y=math.log(2))], _NOTE)
            stubborn[f"stubborn tokens: {group}"] = Chart(across, share, _lines(mine, of_share), note=_NOTE)
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


def _lines(rows: Sequence[Row], curves: Sequence[Sequence[float]]) -> list[Series]:
    last = max(len(rows) - 1, 1)
    has_seeds = len({row["seed"] for row in rows}) > 1
    return [
        Series(
            f"rank {row['lora_rank']:,}, {row['num_answer_tokens']:,} tokens"
            + (f", seed {row['seed']}" if has_seeds else ""),
            [(at + 1, float(f"{curve[at]:.{_DIGITS}g}")) for at in thinned(len(curve))],
            "line",
            shade=index / last,
        )
        for index, (row, curve) in enumerate(zip(rows, curves, strict=True))
    ]


def thinned(num: int) -> list[int]:
    """Indices of no more than `MOST_POINTS` of so many epochs, evenly apart, the first and the last among them.

    >>> thinned(3), len(thinned(1000)), thinned(1000)[-2:]
    ([0, 1, 2], 200, [994, 999])
    """
    if num <= MOST_POINTS:
        return list(range(num))
    return [round(step * (num - 1) / (MOST_POINTS - 1)) for step in range(MOST_POINTS)]
