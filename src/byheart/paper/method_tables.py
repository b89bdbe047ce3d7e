"""Table 2: the three methods by rank, on long texts and on PhoneBook, as published and at equal budget."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from byheart.paper.comparison import COMPARED, SEEDS_NOTE, compared, percent
from byheart.paper.differences import from_published, sentences
from byheart.paper.findings import Finding, Findings
from byheart.paper.preset import ExperimentName
from byheart.paper.published import ALL_FORMS, TABLE2_LONG_CONTEXT, TABLE2_PHONEBOOK, Form, PaperModel, Published
from byheart.paper.table import Column, Table, Value

PARTS: tuple[tuple[str, ExperimentName, str], ...] = (
    ("long texts", "long-context", "token accuracy"),
    ("PhoneBook, as published", "phonebook", "exact match"),
    ("PhoneBook, equal budget", "phonebook-equal", "exact match"),
)
"""What a part of the table is called, its cells, and what is measured of them."""

SHARES: dict[str, Callable[[Finding], float]] = {
    "token accuracy": lambda finding: finding.measured.token_accuracy,
    "exact match": lambda finding: finding.measured.exact_match,
}
"""Quantity → the share that a cell measured."""

COLUMNS = (
    Column("part", "cells"),
    Column("quantity", "quantity, %"),
    Column("method", "method"),
    Column("lora_rank", "rank"),
    Column("sizes", "answer tokens"),
    Column("epochs", "epochs"),
    *COMPARED,
)


def table2(findings: Findings) -> Table:
    """A row for each part, method and rank; sizes and random ratios are averaged, and the largest size told apart."""
    rows: list[tuple[Value, ...]] = []
    apart: dict[str, dict[str, str]] = {}
    doubts: dict[str, None] = {}
    for part, experiment, quantity in PARTS:
        cells = findings.done(experiment)
        for form in ALL_FORMS:
            mine = [cell for cell in cells if cell.form == form]
            if not mine:
                continue
            # The published numbers are of the published budgets, also where they stand beside an equal one.
            theirs: ExperimentName = "phonebook" if experiment == "phonebook-equal" else experiment
            found = apart[f"{part}, {form}"] = from_published(mine, findings.preset.paper_model, theirs)
            published = published_table(findings.preset.paper_model, experiment)[form]
            for chosen in _by_sizes(mine):
                rows += _rows((part, quantity, form), chosen, published, found)
            doubts |= {f"{quantity}, published: {value.doubt}": None for value in published.values() if value.doubt}
    notes = (
        *sentences(apart),
        *doubts,
        *_failures(findings),
        SEEDS_NOTE,
        "equal budget: every method with MemFT-SW's learning rate, epochs and batches",
        "long texts: the budget is the same for every method, as it was in the paper",
    )
    return Table("table2", "Table 2: the methods by rank", COLUMNS, tuple(rows), notes)


def published_table(model: PaperModel, experiment: ExperimentName) -> Mapping[Form, Mapping[int, Published]]:
    """The paper's numbers for the cells of an experiment: form of the method → rank → percent."""
    return (TABLE2_LONG_CONTEXT if experiment == "long-context" else TABLE2_PHONEBOOK)[model]


def _failures(findings: Findings) -> list[str]:
    counts = {part: findings.num_failed(experiment) for part, experiment, _ in PARTS}
    return [f"{part}: {count:,} cells failed and are in no mean" for part, count in counts.items() if count]


def _by_sizes(cells: Sequence[Finding]) -> list[list[Finding]]:
    """All cells; and, where there are several sizes, those of the largest once more."""
    largest = max(cell.size for cell in cells)
    at_largest = [cell for cell in cells if cell.size == largest]
    return [list(cells)] if len(at_largest) == len(cells) else [list(cells), at_largest]


def _rows(
    head: tuple[Value, ...], cells: Sequence[Finding], published: Mapping[int, Published], apart: Mapping[str, str]
) -> list[tuple[Value, ...]]:
    """A row a rank; ``head`` is part, quantity and form."""
    rows: list[tuple[Value, ...]] = []
    for rank in sorted({cell.lora_rank for cell in cells}):
        mine = [cell for cell in cells if cell.lora_rank == rank]
        sizes = _span(sorted({cell.size for cell in mine}))
        epochs = _span(sorted({cell.result.run["learn"]["epochs"] or cell.measured.epochs for cell in mine}))
        ours = percent(mine, SHARES[str(head[1])])
        rows.append((*head, rank, sizes, epochs, *compared(ours, published.get(rank), apart)))
    return rows


def _span(values: Sequence[int]) -> str:
    """Numbers as one, or from the first to the last.

    >>> _span([200]), _span([300, 500, 700])
    ('200', '300 to 700 (3)')
    """
    return f"{values[0]:,}" if len(values) == 1 else f"{values[0]:,} to {values[-1]:,} ({len(values)})"
