"""Intervals by resampling cells: how far the constants would move had other cells been swept.

Each resample draws as many cells as there are, with replacement, and is fitted from where the full fit ended. One that
has fewer different points than constants, or one rank or one length alone, has no fit and is drawn again.

Tensor names: N cells, P constants, S resamples.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from byheart.errors import LawError
from byheart.law.cells import Cells, Floats
from byheart.law.config import FitConfig
from byheart.law.curves import Curve
from byheart.law.document import Document
from byheart.law.solve import Solution, solve_again

_DRAWS_EACH = 4
"""Draws for each wanted resample, at most."""
_NOTHING = 1e-6
"""As a share of an interval's larger end."""


class Interval(Document):
    """Where a constant lies, by the resamples' percentiles."""

    low: float
    """Lower end."""
    high: float
    """Upper end."""

    def __str__(self) -> str:
        """Three digits; an end that is nothing beside the other, as at a bound, is 0."""
        nothing = _NOTHING * max(abs(self.low), abs(self.high))
        low, high = (0.0 if abs(end) < nothing else end for end in (self.low, self.high))
        return f"{low:.3g} … {high:.3g}"


def intervals(
    curve: Curve, cells: Cells, solution: Solution, config: FitConfig, advance: Callable[[int], None] = lambda _: None
) -> dict[str, Interval]:
    """An interval for each constant of a fitted curve; the same seed gives the same.

    Args:
        curve: the form.
        cells: what it was fitted to.
        solution: the fit.
        config: number of resamples, confidence, seed.
        advance: told of each resample.

    Raises:
        LawError: too few of the draws could be fitted.
    """
    generator = np.random.default_rng(config.seed)
    found: list[dict[str, float]] = []
    for _ in range(_DRAWS_EACH * config.num_resamples):
        resample = cells.take(generator.integers(len(cells), size=len(cells)))
        x_P = solve_again(curve, resample, solution) if has_a_fit(resample, len(solution.x_P)) else None
        if x_P is None:
            continue
        found.append(curve.constants(x_P, resample))
        advance(1)
        if len(found) == config.num_resamples:
            return _percentiles(found, config.confidence)
    raise LawError(
        f"only {len(found)} of {_DRAWS_EACH * config.num_resamples} resamples of {len(cells)} cells could be fitted, "
        f"{config.num_resamples} are needed for intervals; sweep more ranks and lengths"
    )


def has_a_fit(cells: Cells, num_constants: int) -> bool:
    """Whether cells can determine so many constants at all: more different points than that would be better, as many
    are needed, and two sizes and two lengths among them.
    """
    is_flat = len(np.unique(cells.size_N)) < 2 or len(np.unique(cells.length_N)) < 2
    return not is_flat and cells.num_points >= num_constants


def _percentiles(found: list[dict[str, float]], confidence: float) -> dict[str, Interval]:
    tail = (1 - confidence) / 2
    ends: dict[str, Interval] = {}
    for name in found[0]:
        values_S: Floats = np.array([constants[name] for constants in found])
        low, high = np.quantile(values_S, [tail, 1 - tail])
        ends[name] = Interval(low=float(low), high=float(high))
    return ends
