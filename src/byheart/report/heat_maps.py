"""Cells of a sweep as heat maps over adapter size and answer length."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import fmean

from byheart.law.cells import SATURATED_NLL_NATS, Axis
from byheart.report.blocks import HeatMap
from byheart.report.law_figures import LENGTH_LABEL, SIZE_LABELS
from byheart.report.sweep_files import Row

QUANTITIES = {
    "final loss (nats)": "nll_after_nats",
    "token accuracy": "token_accuracy",
    "exact match": "exact_match",
    "ΔL (nats)": "nll_drop_nats",
}
"""What may be shown → its column."""


def heat_map(rows: Iterable[Row], quantity: str, axis: Axis = "lora_rank") -> HeatMap | None:
    """A quantity of cells over size and length, repeats averaged; None where no cell has it."""
    column = QUANTITIES[quantity]
    gathered: dict[tuple[int, int], list[float]] = {}
    for row in rows:
        if row[column] is not None:
            gathered.setdefault((row[axis], row["num_answer_tokens"]), []).append(row[column])
    if not gathered:
        return None
    sizes, lengths = (sorted({key[index] for key in gathered}) for index in (0, 1))
    values = [
        [fmean(found) if (found := gathered.get((size, length))) else None for length in lengths] for size in sizes
    ]
    largest = max(value for row in values for value in row if value is not None)
    is_loss = column == "nll_after_nats"
    return HeatMap(
        column_label=LENGTH_LABEL,
        row_label=SIZE_LABELS[axis],
        columns=lengths,
        rows=sizes,
        values=values,
        # Dark is what is not known: high loss, low accuracy, a small fall.
        ends=(largest, 0.0) if is_loss else (0.0, largest if quantity.endswith("(nats)") else 1.0),
        bar=SATURATED_NLL_NATS if is_loss else None,
        bar_label="below ln 2: saturated, left out of the law" if is_loss else "",
    )
