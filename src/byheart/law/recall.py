"""From the law to recall: how likely a run ends with every token of its records above p = 0.5.

A mean loss does not say it: one stubborn token in a thousand hardly moves the mean and breaks its record. So the step
is calibrated on cells that were run, saturated ones among them, as a logistic curve in one of two readings:

    law     logit P = a + k·ln(times paid)              how many times over the law pays for what there is to lose:
                                                        ΔL(r, ℓ) / L_before, see `Forecast.times_paid`
    bits    logit P = a + k·ln r − m·ln(bits)           bits = ℓ·L_before / ln 2; needs no law

k and m are never negative, so that a larger rank is never less likely to do, nor a larger memory more likely to fit.
Which reading is taken is decided by the mean log loss on groups of cells that were left out.

Cells that straddle the transition cleanly would drive k and m to infinity and every probability to 0 or 1. Jeffreys'
prior (Firth 1993), half the logarithm of the determinant of the information, keeps them finite; probabilities from few
cells lean towards one half, so that a plan from few cells asks for more rank and never for less.

Tensor names: N cells, P constants.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from pydantic import Field, NonNegativeFloat, PositiveInt
from scipy.optimize import minimize

from byheart.errors import LawError
from byheart.law.cells import Floats
from byheart.law.document import Document
from byheart.law.forecast import Forecast, fit_forecast
from byheart.law.observation import Observation, bits_lacking

Reading = Literal["law", "bits"]
CELLS_NEEDED = 6
_SMALLEST_SHARE = 1e-3
"""Times paid: what a law that promises less, or nothing, is taken to promise."""
_ROUNDING = 1e-9
"""0.07 of a hundred records is a little more than seven to a computer."""
_STEEPEST = 60.0
"""Largest slope by standard deviation of a feature that is searched; Jeffreys' prior keeps far below it."""


class Recall(Document):
    """The probability that a run's records come back, with the constants of its curve."""

    reading: Reading
    """What it is read from."""
    goal: float = Field(gt=0, le=1)
    """Share of the records that were to be certified in a cell that counts as a success."""
    intercept: float
    """a."""
    size_slope: NonNegativeFloat
    """k."""
    bits_slope: NonNegativeFloat
    """m; 0 where it is read from the law, which knows the length."""
    num_cells: PositiveInt
    """It was calibrated on."""
    num_reached: PositiveInt
    """Of them, those that reached the goal."""
    log_losses: dict[Reading, NonNegativeFloat]
    """Mean of −ln of the probability given to what happened, in cells of groups that were left out, by reading; ln 2 is
    a coin's. Empty where there is nothing to leave out."""
    law_reason: str
    """Why there is no reading from the law, or none that could be judged; else empty."""

    def probability(
        self, size: float, num_answer_tokens: float, nll_before_nats: float, forecast: Forecast | None
    ) -> float:
        """P that the goal is reached.

        Args:
            size: r.
            num_answer_tokens: ℓ.
            nll_before_nats: mean loss under the base model alone.
            forecast: the law it was calibrated with; not asked where it is read from bits.
        """
        design_P = self.design(size, num_answer_tokens, nll_before_nats, forecast)
        return sigmoid(float(design_P @ self.constants))

    @property
    def constants(self) -> Floats:
        """a, k and, where it is read from bits, m."""
        slopes = [self.size_slope] if self.reading == "law" else [self.size_slope, self.bits_slope]
        return np.array([self.intercept, *slopes])

    def design(
        self, size: float, num_answer_tokens: float, nll_before_nats: float, forecast: Forecast | None
    ) -> Floats:
        """What the constants are multiplied by and added up to logit P; asked as `probability` is."""
        return np.array([1.0, *_features(self.reading, size, num_answer_tokens, nll_before_nats, forecast)])


def fit_recall(observations: Sequence[Observation], forecast: Forecast | None = None, goal: float = 1.0) -> Recall:
    """Calibrates the step to recall.

    Args:
        observations: cells of one placement; every one that ran to its end counts.
        forecast: the law of these cells; None: there is none, and it is read from bits.
        goal: share of its records that a cell must have certified.

    Raises:
        LawError: too few cells, of one rank or one size of memory only, or all of them reached the goal, or none.

    Example:
        >>> recall = fit_recall(cells)                                           # doctest: +SKIP
        >>> recall.probability(16, 1000, nll_before_nats=2.5, forecast=None)     # doctest: +SKIP
        0.93
    """
    reason = "" if forecast else "no law could be fitted to the cells"
    readings: list[Reading] = ["bits"] if forecast is None else ["law", "bits"]
    log_losses: dict[Reading, float] = {}
    for reading in readings:
        try:
            log_losses[reading] = _left_out_log_loss(reading, observations, forecast, goal)
        except LawError as error:  # the reading is judged by nothing
            if reading == "law":
                reason = f"the law does not hold without a part of the cells: {error}"
    chosen = min(log_losses, key=lambda each: log_losses[each]) if log_losses else readings[0]
    intercept, *slopes = _fit(chosen, observations, forecast, goal)
    return Recall(
        reading=chosen,
        goal=goal,
        intercept=intercept,
        size_slope=slopes[0],
        bits_slope=slopes[1] if len(slopes) > 1 else 0.0,
        num_cells=len(observations),
        num_reached=sum(has_reached(cell, goal) for cell in observations),
        log_losses=log_losses,
        law_reason=reason,
    )


def has_reached(cell: Observation, goal: float) -> bool:
    """Whether that share of a cell's records ended certified."""
    return cell.num_certified >= goal * cell.num_records - _ROUNDING


def least_share(goal: float, num_records: int) -> float:
    """What share of so many records reaches the goal at the least: there are no parts of records.

    >>> least_share(0.95, 10), least_share(0.95, 100), least_share(0.07, 100)
    (1.0, 0.95, 0.07)
    """
    return math.ceil(goal * num_records - _ROUNDING) / num_records


def _features(
    reading: Reading, size: float, num_answer_tokens: float, nll_before_nats: float, forecast: Forecast | None
) -> tuple[float, ...]:
    """What the curve is a function of; each rises with the probability."""
    if reading == "bits":
        return math.log(size), -math.log(bits_lacking(num_answer_tokens, nll_before_nats))
    if forecast is None:
        raise LawError("this probability is read from the law, and no law was given with it; calibrate anew")
    return (math.log(max(forecast.times_paid(size, num_answer_tokens, nll_before_nats), _SMALLEST_SHARE)),)


def _fit(
    reading: Reading, observations: Sequence[Observation], forecast: Forecast | None, goal: float
) -> tuple[float, ...]:
    """a, k and, where it is read from bits, m."""
    reached_N = np.array([has_reached(cell, goal) for cell in observations], dtype=np.float64)
    if len(observations) < CELLS_NEEDED or reached_N.min() == reached_N.max():
        raise LawError(
            f"{len(observations)} cells, of which {reached_N.sum():.0f} reached the goal: at least {CELLS_NEEDED} are "
            "needed, some that reach it and some that do not; sweep lower ranks or larger memories, or the reverse"
        )
    feature_NP = np.array(
        [
            _features(reading, cell.lora_rank, cell.num_answer_tokens, cell.nll_before_nats, forecast)
            for cell in observations
        ]
    )
    centre_P, scale_P = feature_NP.mean(axis=0), feature_NP.std(axis=0)
    design_NP = np.column_stack([np.ones(len(feature_NP)), feature_NP - centre_P])
    if np.linalg.matrix_rank(design_NP, tol=1e-6) < design_NP.shape[1]:
        raise LawError(
            f"the {len(observations)} cells are of one rank, of one size of memory, or of one ratio of both: how "
            "recall depends on each cannot be told; sweep several ranks, each with several sizes"
        )
    design_NP[:, 1:] /= scale_P
    intercept, *slopes = penalised_logistic(design_NP, reached_N)
    raw_P = np.array(slopes) / scale_P
    return (float(intercept - raw_P @ centre_P), *map(float, raw_P))


def penalised_logistic(design_NP: Floats, reached_N: Floats) -> Floats:
    """Logistic regression under Jeffreys' prior; slopes are not negative.

    Args:
        design_NP: the first column 1, the others centred, of standard deviation 1.
        reached_N: 0 or 1.

    Raises:
        LawError: from no start a likelihood above zero was found.
    """
    num_constants = design_NP.shape[1]

    def cost(x_P: Floats) -> float:
        logit_N = design_NP @ x_P
        likelihood = float(np.sum(reached_N * logit_N - np.logaddexp(0.0, logit_N)))
        weight_N = np.exp(-np.logaddexp(0.0, logit_N) - np.logaddexp(0.0, -logit_N))
        _, log_det = np.linalg.slogdet(design_NP.T @ (weight_N[:, None] * design_NP))
        return -(likelihood + 0.5 * float(log_det))

    bounds = [(-_STEEPEST, _STEEPEST), *[(0.0, _STEEPEST)] * (num_constants - 1)]
    starts = (np.array([0.0, *[slope] * (num_constants - 1)]) for slope in (0.5, 2.0, 5.0))
    ended = [minimize(cost, start, bounds=bounds, method="L-BFGS-B") for start in starts]
    finite = [found for found in ended if math.isfinite(found.fun)]
    if not finite:
        raise LawError("the curve of recall could not be fitted to these cells; sweep more ranks and sizes")
    return min(finite, key=lambda found: float(found.fun)).x


def _left_out_log_loss(
    reading: Reading, observations: Sequence[Observation], forecast: Forecast | None, goal: float
) -> float:
    """Mean −ln P(what happened), each cell predicted without its group, or where there is one group, its length.

    Raises:
        LawError: without some part the rest cannot be fitted.
    """
    groups = {cell.group for cell in observations}
    part: Callable[[Observation], object] = (
        (lambda cell: cell.group) if len(groups) > 1 else (lambda cell: cell.num_answer_tokens)
    )
    losses: list[float] = []
    for held in dict.fromkeys(map(part, observations)):
        rest = [cell for cell in observations if part(cell) != held]
        law = fit_forecast(rest, forecast.way) if forecast is not None and reading == "law" else None
        intercept, *slopes = _fit(reading, rest, law, goal)
        for cell in observations:
            if part(cell) == held:
                features = _features(reading, cell.lora_rank, cell.num_answer_tokens, cell.nll_before_nats, law)
                logit = intercept + sum(slope * value for slope, value in zip(slopes, features, strict=True))
                losses.append(float(np.logaddexp(0.0, -logit if has_reached(cell, goal) else logit)))
    return float(np.mean(losses))


def sigmoid(logit: float) -> float:
    """A probability from its log odds."""
    return 1 / (1 + math.exp(-logit)) if logit > -700 else 0.0
