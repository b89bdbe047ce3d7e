"""Bounded, multi-start, robust non-linear least squares: a curve's constants from cells.

A plain fit from every start comes first, then one without each cell in turn: a wild cell at a corner of the grid can
bend a plain fit through itself, but not the one it is left out of; the fit with the smallest spread of residuals wins,
by their median. From there a Cauchy loss takes all cells in: square within the spread, while the pull of a cell falls
again the farther it lies beyond. Spread and fit take turns until the spread has settled.

Tensor names: N cells, P constants, R the residuals left once P are set aside.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import least_squares

from byheart.errors import LawError
from byheart.law.cells import Cells, Floats
from byheart.law.curves import Curve

SIGMA_OF_MEDIAN = 1.4826
"""Standard deviation of a normal distribution in medians of its absolute values."""
CAUCHY_SIGMAS = 2.385
"""Scale of the loss: so a fit is 95 % as sharp as least squares where noise is normal (Holland and Welsch 1977)."""
SMALLEST_SIGMA_SHARE = 1e-3
"""Of the largest drop: what is closer to the curve than that is as good as on it."""
OUTLIER_SIGMAS = 5.0
"""From where a cell is named as an outlier; it stays in the fit and in every figure of merit."""
MAX_EVALUATIONS = 400
_MOST_STARTS = 4
"""The most promising of a curve's starts: those that are nearest to the cells before a step is taken."""
_IMAGINARY_STEP = 1e-30
_MOST_ROUNDS = 10
_SETTLED = 0.02


@dataclass(frozen=True, slots=True)
class Solution:
    """Constants that were found.

    Attributes:
        x_P: coordinates of the curve.
        sigma_nats: robust spread of the residuals.
        is_robust: whether the loss was Cauchy's.
    """

    x_P: Floats
    sigma_nats: float
    is_robust: bool


def solve(curve: Curve, cells: Cells, *, is_robust: bool = True, max_evaluations: int = MAX_EVALUATIONS) -> Solution:
    """The constants with which a curve is nearest to the cells.

    Args:
        curve: the form.
        cells: more than it has constants.
        is_robust: Cauchy loss; otherwise plain squares.
        max_evaluations: from each start; the optimiser has failed when none of them gets by with these.

    Raises:
        LawError: from no start did the optimiser converge.
    """
    starts = sorted(curve.starts(cells), key=lambda x_P: float(np.sum(residuals(curve, x_P, cells) ** 2)))
    plain = _best(curve, cells, starts[:_MOST_STARTS], None, max_evaluations)
    sigma_nats = _spread(curve, plain, cells)
    if not is_robust:
        return Solution(plain, sigma_nats, is_robust)
    x_P, sigma_nats = _calmest(curve, cells, plain, max_evaluations)
    for _ in range(_MOST_ROUNDS):
        x_P = _best(curve, cells, [x_P], sigma_nats, max_evaluations)
        before, sigma_nats = sigma_nats, _spread(curve, x_P, cells)
        if abs(sigma_nats - before) <= _SETTLED * before:
            break
    return Solution(x_P, sigma_nats, is_robust)


def solve_again(curve: Curve, cells: Cells, near: Solution) -> Floats | None:
    """The constants for other cells like those of ``near``, from there and with its loss; None where the optimiser does
    not converge. Loose tolerances: what this is for is a spread, not a digit.
    """
    found = _least_squares(curve, cells, near.x_P, near.sigma_nats if near.is_robust else None, MAX_EVALUATIONS, 1e-5)
    return found.x if found.status > 0 else None


def residuals(curve: Curve, x_P: Floats, cells: Cells) -> Floats:
    """Prediction less what was measured, nats."""
    return curve.predict(x_P, cells) - cells.drop_N


def _calmest(curve: Curve, cells: Cells, plain: Floats, most: int) -> tuple[Floats, float]:
    """Of the plain fit and those without one cell each, the one with the smallest spread, and that spread."""
    others_NN = ~np.eye(len(cells), dtype=bool)
    without = (_least_squares(curve, cells.take(others_N), plain, None, most, 1e-6) for others_N in others_NN)
    candidates = [plain, *(found.x for found in without if found.status > 0)]
    calmest = min(candidates, key=lambda x_P: _spread(curve, x_P, cells))
    return calmest, _spread(curve, calmest, cells)


def _best(curve: Curve, cells: Cells, starts: Iterable[Floats], sigma_nats: float | None, most: int) -> Floats:
    ended = [_least_squares(curve, cells, start, sigma_nats, most, 1e-10) for start in starts]
    converged = [found for found in ended if found.status > 0]
    if not converged:
        raise LawError(
            f"the optimiser did not converge on the form {curve.name!r} from any of {len(ended)} starts within {most} "
            "evaluations each; sweep more ranks and lengths, so that the cells determine the constants"
        )
    return min(converged, key=lambda found: found.cost).x


def _least_squares(
    curve: Curve, cells: Cells, start: Floats, sigma_nats: float | None, most: int, tolerance: float
) -> Any:
    low_P, high_P = curve.bounds(cells)
    inset_P = 1e-9 * (high_P - low_P)
    minimise: Any = least_squares  # scipy's annotations know of no function for the derivatives
    return minimise(
        lambda x_P: residuals(curve, x_P, cells),
        np.clip(start, low_P + inset_P, high_P - inset_P),
        jac=lambda x_P: _slopes(curve, x_P, cells),
        bounds=(low_P, high_P),
        x_scale="jac",
        loss="linear" if sigma_nats is None else "cauchy",
        f_scale=1.0 if sigma_nats is None else CAUCHY_SIGMAS * sigma_nats,
        ftol=tolerance,
        xtol=tolerance,
        gtol=tolerance,
        max_nfev=most,
    )


def _slopes(curve: Curve, x_P: Floats, cells: Cells) -> Floats:
    """Derivatives of the predictions, slope_NP, exact: by a step along the imaginary axis, which nothing cancels."""
    steps_PP = 1j * _IMAGINARY_STEP * np.eye(len(x_P))
    return np.stack([curve.predict(x_P + step_P, cells).imag / _IMAGINARY_STEP for step_P in steps_PP], axis=1)


def _spread(curve: Curve, x_P: Floats, cells: Cells) -> float:
    """Robust standard deviation of the residuals. The P smallest are set aside: that many a curve with P constants can
    pass through whatever the noise.
    """
    distance_R = np.sort(np.abs(residuals(curve, x_P, cells)))[len(x_P) :]
    median = float(np.median(distance_R)) if len(distance_R) else 0.0
    least = SMALLEST_SIGMA_SHARE * float(np.max(np.abs(cells.drop_N)))
    return max(SIGMA_OF_MEDIAN * median, least)
