"""A number measured under several seeds: its mean, and the interval that its true mean lies in.

    interval = mean ± t · s / √n,   s² = Σ (x − mean)² / (n − 1)

t is Student's at 97.5 % with n − 1 degrees of freedom, so that the interval holds the true mean in 95 % of cases where
the numbers are spread as a normal distribution. Shares near 0 or 1 are not; their interval is cut there, and says so by
touching the end. One seed has no interval, nor have seeds that all agree: shares come in steps, of thirty records one
is 3 %, so that a spread of nothing tells of the steps and not of how far other seeds would lie.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

_STUDENT_T = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
"""At 97.5 %, for 1, 2, … degrees of freedom; beyond the last the interval comes out a little wider than it need be."""


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean over seeds.

    Attributes:
        value: of the mean.
        low: lower end of the 95 % interval; None where there is one seed, or all agree.
        high: upper end.
        num_seeds: how many.
    """

    value: float
    low: float | None
    high: float | None
    num_seeds: int


def over_seeds(values: Sequence[float], lowest: float = -math.inf, highest: float = math.inf) -> Mean:
    """The mean of at least one number, one a seed.

    Args:
        values: the numbers.
        lowest: below which no such number can lie.
        highest: above which none can.

    >>> over_seeds([0.5]), over_seeds([1.0, 2.0, 3.0]).low.__round__(3)
    (Mean(value=0.5, low=None, high=None, num_seeds=1), -0.484)
    """
    mean = statistics.fmean(values)
    if min(values) == max(values):
        return Mean(mean, None, None, len(values))
    freedom = len(values) - 1
    half = _STUDENT_T[min(freedom, len(_STUDENT_T)) - 1] * statistics.stdev(values) / math.sqrt(len(values))
    return Mean(mean, max(mean - half, lowest), min(mean + half, highest), len(values))
