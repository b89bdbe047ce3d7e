"""Table 2: the three methods by rank, on long texts and on PhoneBook, as published and at equal budget."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence

from byheart.paper.differences import from_published, sentences
from byheart.paper.findings import Finding, Findings
from byheart.paper.preset import ExperimentName
from byheart.paper.published import (
    ALL_FORMS,
    TABLE2_LONG_CONTEXT,
    TABLE2_PHONEBOOK,
    Form,
    Published,
)
from byheart.paper.seeds import over_seeds
from byheart.paper.table import Column, Table, Value

_PARTS: tuple[tuple[str, ExperimentName, str], ...] = (
    ("long texts", "long-context", "token accuracy"),
    ("PhoneBook, as published", "phonebook", "exact match"),
    ("PhoneBook, equal budget", "phonebook-equal", "exact match"),
)
"""What a part of the table is called, its cells, and what is measured of them."""

_QUANTITIES: dict[str, Callable[[Finding], float]] = {
    "token accuracy": lambda finding: 100 * finding.measured.token_accuracy,
    "exact match": lambda finding: 100 * finding.measured.exact_match,
}

COLUMNS = (
    Column("part", "cells"),
    Column("quantity", "quantity, %"),
    Column("method", "method"),
    Column("lora_rank", "rank"),
    Column("sizes", "answer tokens"),
    Column("epochs", "epochs"),
    Column("ours_percent", "ours", 1),
    Column("low_percent", "from", 1),
    Column("high_percent", "to", 1),
    Column("num_seeds", "seeds"),
    Column("published_percent", "published", 1),
    Column("published_source", "source"),
    Column("differs_in", "differs in"),
)


def table2(findings: Findings) -> Table:
    """A row for each part, method and rank; sizes and random ratios are averaged, and the largest size told apart."""
    rows: list[tuple[Value, ...]] = []
    apart: dict[str, dict[str, str]] = {}
    doubts: dict[str, None] = {}
    for part, experiment, quantity in _PARTS:
        cells = findings.done(experiment)
        for form in ALL_FORMS:
            mine = [cell for cell in cells if cell.form == form]
            if not mine:
                continue
            found = apart[f"{part}, {form}"] = from_published(mine, findings.preset.paper_model, experiment)
            published = _published(findings, experiment, form)
            for chosen in _by_sizes(mine):
                rows += _rows(part, quantity, form, chosen, published, ", ".join(found))
            doubts |= {f"{quantity}, published: {value.doubt}": None for value in published.values() if value.doubt}
    notes = (
        *sentences(apart),
        *doubts,
        "from, to: 95 % interval over seeds (Student's t); a dash where there is one seed",
        "equal budget: every method with MemFT-SW's learning rate, epochs and batches",
        "long texts: the budget is the same for every method, as it was in the paper",
    )
    return Table("table2", "Table 2: the methods by rank", COLUMNS, tuple(rows), notes)


def _published(findings: Findings, experiment: ExperimentName, form: Form) -> Mapping[int, Published]:
    tables = TABLE2_LONG_CONTEXT if experiment == "long-context" else TABLE2_PHONEBOOK
    return tables[findings.preset.paper_model][form]


def _by_sizes(cells: Sequence[Finding]) -> list[list[Finding]]:
    """All cells; and, where there are several sizes, those of the largest once more."""
    largest = max(cell.size for cell in cells)
    at_largest = [cell for cell in cells if cell.size == largest]
    return [list(cells)] if len(at_largest) == len(cells) else [list(cells), at_largest]


def _rows(
    part: str,
    quantity: str,
    form: Form,
    cells: Sequence[Finding],
    published: Mapping[int, Published],
    apart: str,
) -> list[tuple[Value, ...]]:
    rows: list[tuple[Value, ...]] = []
    sizes = _span(sorted({cell.size for cell in cells}))
    for rank in sorted({cell.lora_rank for cell in cells}):
        mine = [cell for cell in cells if cell.lora_rank == rank]
        mean = over_seeds(by_seed(mine, _QUANTITIES[quantity]), 0, 100)
        beside = published.get(rank)
        rows.append(
            (
                part,
                quantity,
                form,
                rank,
                sizes,
                _span(sorted({cell.result.run["learn"]["epochs"] or cell.measured.epochs for cell in mine})),
                mean.value,
                mean.low,
                mean.high,
                mean.num_seeds,
                None if beside is None else beside.value,
                None if beside is None else beside.mark,
                apart,
            )
        )
    return rows


def by_seed(cells: Sequence[Finding], quantity: Callable[[Finding], float]) -> list[float]:
    """One number a seed: the mean of a quantity over the cells that have it."""
    seeds = sorted({cell.seed for cell in cells})
    return [statistics.fmean(quantity(cell) for cell in cells if cell.seed == seed) for seed in seeds]


def _span(values: Sequence[int]) -> str:
    """Numbers as one, or from the first to the last.

    >>> _span([200]), _span([300, 500, 700])
    ('200', '300 to 700 (3)')
    """
    return f"{values[0]:,}" if len(values) == 1 else f"{values[0]:,} to {values[-1]:,} ({len(values)})"
