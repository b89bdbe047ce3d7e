"""Our number beside the published one: the columns that tables of methods share, and what stands in them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Hashable, Iterable, Sequence

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
SEEDS_NOTE = "from, to: 95 % interval over seeds (Student's t); a dash where there is one seed, or all agree"


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
    return mean_of([(cell.seed, cell.place, 100 * share_of(cell)) for cell in cells], 0, 100)


def mean_of(
    values: Iterable[tuple[int, Hashable, float]], lowest: float = -math.inf, highest: float = math.inf
) -> Mean:
    """The mean of a seed's values, then over seeds; of several values at one place their mean counts once.

    Where a seed lacks a place that another has, as a cell of it failed, the place is left out for all: else what
    differs between places would pass for what differs between seeds. Where no place is left all values count.

    Args:
        values: seed, place and value of each; at least one.
        lowest: below which no such number can lie.
        highest: above which none can.

    >>> mean_of([(1, "a", 0.0), (1, "b", 8.0), (2, "a", 1.0)]).value
    0.5
    """
    found: dict[int, dict[Hashable, list[float]]] = {}
    for seed, place, value in values:
        found.setdefault(seed, {}).setdefault(place, []).append(value)
    shared = set.intersection(*(set(places) for places in found.values()))
    means = [
        statistics.fmean(statistics.fmean(each) for place, each in places.items() if not shared or place in shared)
        for _, places in sorted(found.items())
    ]
    return over_seeds(means, lowest, highest)
