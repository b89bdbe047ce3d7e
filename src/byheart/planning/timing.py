"""How long a run takes, by the cells of a calibration: a power of the length and of how densely the adapter is filled.

    ln seconds = a + b·ln ℓ + c·ln(bits a parameter),  b, c ≥ 0

A denser adapter takes more epochs to certify, up to the whole budget. One with more room than any of the cells had is
no faster than the roomiest of them, one that is fuller no slower than the fullest. What it says is of the machine that
ran the cells, and is an estimate, with a factor within which two thirds of those cells lay.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Self

import numpy as np
from pydantic import Field, FiniteFloat, NonNegativeFloat

from byheart.law.document import Document
from byheart.law.observation import Observation
from byheart.law.plan import Need, Span

CELLS_NEEDED = 4


class Timing(Document):
    """Constants of the estimate."""

    intercept: FiniteFloat
    """a."""
    length_exponent: NonNegativeFloat
    """b."""
    load_exponent: NonNegativeFloat
    """c."""
    load: Span
    """Bits a parameter that the cells had."""
    factor: float = Field(ge=1)
    """exp of the standard deviation of what is left of the logarithm."""

    @classmethod
    def of(cls, observations: Sequence[Observation], seconds: Sequence[float]) -> Self | None:
        """Fitted to cells and what each took; None where they are too few, or a time was not measured."""
        if len(observations) < CELLS_NEEDED or min(seconds) <= 0:
            return None
        feature_NF = np.array([_features(cell.num_answer_tokens, cell.load) for cell in observations])
        log_N = np.log(np.array(seconds))
        centre_F, mean = feature_NF.mean(axis=0), log_N.mean()
        slope_F = _slopes(feature_NF - centre_F, log_N - mean)
        left_N = log_N - mean - (feature_NF - centre_F) @ slope_F
        return cls(
            intercept=float(mean - centre_F @ slope_F),
            length_exponent=float(slope_F[0]),
            load_exponent=float(slope_F[1]),
            load=Span.of([cell.load for cell in observations]),
            factor=math.exp(float(left_N.std())),
        )

    def seconds(self, need: Need, num_parameters: int) -> float:
        """Of a whole run, loading of the base model not counted.

        Args:
            need: what there is to learn.
            num_parameters: of the adapter.
        """
        log_length, log_load = _features(need.num_answer_tokens, self.load.nearest(need.bits / num_parameters))
        return math.exp(self.intercept + self.length_exponent * log_length + self.load_exponent * log_load)


def _features(num_answer_tokens: int, load: float) -> tuple[float, float]:
    """The logarithms of ℓ and of the bits a parameter."""
    return math.log(num_answer_tokens), math.log(load)


def _slopes(feature_NF: np.ndarray, target_N: np.ndarray) -> np.ndarray:
    """Least squares without a negative slope; scipy, which has it ready, is the law's alone."""
    best, found = math.inf, np.zeros(2)
    for kept in ([], [0], [1], [0, 1]):
        slope_F = np.zeros(2)
        slope_F[kept] = np.linalg.lstsq(feature_NF[:, kept], target_N)[0] if kept else 0.0
        squares = float(np.sum((target_N - feature_NF @ slope_F) ** 2))
        if slope_F.min() >= 0 and squares < best:
            best, found = squares, slope_F
    return found
