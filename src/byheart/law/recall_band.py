"""How sure the curve of recall is: where the probability lies, by how well its cells determine its constants.

    logit P = x·c,   x = (1, features)        its standard error² = x I⁻¹ xᵀ,   I = Σ p(1 − p) xᵀx over the cells

I⁻¹ is the covariance of a logistic fit's constants, at those that Jeffreys' prior led to. It speaks of this curve
alone: that recall follows such a curve, and the law that the features may be made of, are taken for granted. Far from
all cells the band is wide, and its lower end may fall again with the rank.

Tensor names: N cells, P constants.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Self

import numpy as np

from byheart.law.bootstrap import Interval
from byheart.law.cells import Floats
from byheart.law.forecast import Forecast
from byheart.law.observation import Observation
from byheart.law.recall import Recall, sigmoid

BAND_CONFIDENCE = 0.95
_SIGMAS = NormalDist().inv_cdf((1 + BAND_CONFIDENCE) / 2)


@dataclass(frozen=True)
class RecallBand:
    """The intervals of one curve of recall.

    Attributes:
        recall: the curve.
        forecast: the law it is read from, if it is.
        root_PP: lower triangle L of the information I = L·Lᵀ.
    """

    recall: Recall
    forecast: Forecast | None
    root_PP: Floats

    @classmethod
    def of(cls, recall: Recall, forecast: Forecast | None, observations: Sequence[Observation]) -> Self | None:
        """Of a curve and the very cells it was fitted to; None where they do not determine it at all."""
        sizes = ((cell.lora_rank, cell.num_answer_tokens, cell.nll_before_nats) for cell in observations)
        design_NP = np.array([recall.design(*size, forecast) for size in sizes])
        p_N = np.array([sigmoid(float(logit)) for logit in design_NP @ recall.constants])
        information_PP = design_NP.T @ ((p_N * (1 - p_N))[:, None] * design_NP)
        try:
            return cls(recall, forecast, np.asarray(np.linalg.cholesky(information_PP), np.float64))
        except np.linalg.LinAlgError:
            return None

    def interval(self, size: float, num_answer_tokens: float, nll_before_nats: float) -> Interval:
        """Where the probability that the goal is reached lies, with `BAND_CONFIDENCE`.

        Args:
            size: r.
            num_answer_tokens: ℓ.
            nll_before_nats: mean loss under the base model alone.
        """
        design_P = self.recall.design(size, num_answer_tokens, nll_before_nats, self.forecast)
        logit = float(design_P @ self.recall.constants)
        reach = _SIGMAS * math.sqrt(float(np.sum(np.linalg.solve(self.root_PP, design_P) ** 2)))
        return Interval(low=sigmoid(logit - reach), high=sigmoid(logit + reach))
