"""The paper's figures 10–13 on a page: for each cell, p of every answer token over its position."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from byheart.certification.dynamics import RecordDynamics
from byheart.report.answers import rounded
from byheart.report.blocks import Axis, Block, Chart, Charts, Point, Prose, Rule, Series
from byheart.report.sweep_files import Row, content_of

MOST_TOKENS = 200_000
"""Of all curves of a page together: about 4 MB."""


def cell_curves(rows: Iterable[Row], records: Mapping[str, Sequence[RecordDynamics]]) -> list[Block]:
    """One chart a cell, as many as a page holds; by rank and length.

    Args:
        rows: of cells that ran to their end.
        records: cell → its records; cells that are not there have no chart.
    """
    views: dict[str, Chart] = {}
    num_tokens = 0
    rows = [row for row in rows if row["cell"] in records]
    for row in sorted(rows, key=lambda row: (row["lora_rank"], row["num_answer_tokens"], row["cell"])):
        mine = records[row["cell"]]
        num_tokens += sum(len(record.p) for record in mine)
        if num_tokens > MOST_TOKENS and views:
            break
        views[_name(row)] = curve(mine)
    blocks: list[Block] = [
        Prose(
            "Each answer token's probability given the right answer before it. Tokens at or below 0.5 are stubborn; i* "
            "is where the free run first leaves the answer."
        ),
        Charts("p by position", views),
    ]
    if num_left := len(rows) - len(views):
        blocks.append(
            Prose(f"The curves of {num_left:,} further cells would make the page too large, and are not in it.")
        )
    return blocks


def _name(row: Row) -> str:
    size = f"rank {row['lora_rank']:,}, {row['num_answer_tokens']:,} tokens"
    return f"{size}, {content_of(row)}, {row['method']}, {row['placement']}, seed {row['seed']} ({row['cell'][:8]})"


def curve(records: Sequence[RecordDynamics]) -> Chart:
    """Of p over position; several records stand one after the other."""
    line: list[Point] = []
    stubborn: list[Point] = []
    failures: list[Point] = []
    for number, record in enumerate(records, start=1):
        begin = len(line)
        note = f"record {number:,}, token " if len(records) > 1 else "token "
        line += [(begin + at + 1, rounded(p)) for at, p in enumerate(record.p)]
        stubborn += [
            (begin + at + 1, rounded(record.p[at]), f"{note}{at + 1:,}\nrank {record.token_rank[at]:,}")
            for at in record.stubborn_positions
        ]
        if (at := record.first_failure_position) is not None:
            failures.append((begin + at + 1, rounded(record.p[at]), f"{note}{at + 1:,}\nfirst failure, i*"))
    series = [Series("p", line, "line", 0)]
    if stubborn:
        series.append(Series("stubborn, p ≤ 0.5", stubborn, "points", 1))
    rules = [Rule("0.5", y=0.5)]
    if len(records) == 1 and failures:
        rules.append(Rule("i*", x=failures[0][0]))
    elif failures:
        series.append(Series("i*", failures, "ring", None))
    label = "answer token" if len(records) == 1 else "answer token, records one after the other"
    return Chart(
        Axis(label, ends=(1, max(len(line), 2))), Axis("p", ends=(0, 1), ticks=(0, 0.25, 0.5, 0.75, 1)), series, rules
    )
