"""Our number beside the published one: the columns that tables of methods share, and what stands in them."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence

from byheart.paper.findings import Finding
from byheart.paper.published import Published
from byheart.paper.seeds import Mean, over_seeds
from byheart.paper.table import Column, Value

COMPARED = (
    Column("ours_percent", "ours", 1),
    Column("low_percent", "from", 1),
    Column("high_percent", "to", 1),
    Column("num_seeds", "seeds"),
    Column("published_percent", "published", 1),
    Column("published_source", "source"),
    Column("differs_in", "differs in"),
)
SEEDS_NOTE = "from, to: 95 % interval over seeds (Student's t); a dash where there is one seed"


def compared(ours: Mean, published: Published | None, differing: Iterable[str]) -> tuple[Value, ...]:
    """What stands in the shared columns.

    Args:
        ours: percent.
        published: percent; None where the paper has no such number.
        differing: names of the settings in which the two differ.
    """
    beside = (None, None) if published is None else (published.value, published.mark)
    return ours.value, ours.low, ours.high, ours.num_seeds, *beside, ", ".join(differing)


def percent(cells: Sequence[Finding], share_of: Callable[[Finding], float]) -> Mean:
    """A share over cells in percent: its mean over all cells of a seed, then over seeds."""
    seeds = sorted({cell.seed for cell in cells})
    by_seed = [statistics.fmean(100 * share_of(cell) for cell in cells if cell.seed == seed) for seed in seeds]
    return over_seeds(by_seed, 0, 100)
