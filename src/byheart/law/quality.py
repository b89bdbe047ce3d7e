"""How well predictions agree with what was measured.

Tensor names: N cells.
"""

from __future__ import annotations

import numpy as np
from pydantic import NonNegativeFloat

from byheart.law.cells import Floats
from byheart.law.document import Document


class Quality(Document):
    """Agreement over all cells of a fit, outliers included."""

    r_squared: float
    """1 − Σ(prediction − ΔL)² / Σ(ΔL − mean ΔL)²; at most 1, and below 0 where a constant would do better."""
    mape: NonNegativeFloat
    """Mean of |prediction − ΔL| / ΔL; a share: 0.07 is 7 %."""
    rmse_nats: NonNegativeFloat
    """Root of the mean of (prediction − ΔL)²."""


def quality(predicted_N: Floats, drop_N: Floats) -> Quality:
    """R², MAPE and RMSE of predicted drops; the drops are positive and not all the same.

    Example:
        >>> quality(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 4.0])).mape.__round__(4)
        0.0833
    """
    residual_N = predicted_N - drop_N
    spread = float(np.sum((drop_N - drop_N.mean()) ** 2))
    return Quality(
        r_squared=1 - float(np.sum(residual_N**2)) / spread,
        mape=mape(predicted_N, drop_N),
        rmse_nats=float(np.sqrt(np.mean(residual_N**2))),
    )


def mape(predicted_N: Floats, drop_N: Floats) -> float:
    """Mean absolute error, each as a share of the drop it is of; drops are positive."""
    return float(np.mean(np.abs(predicted_N - drop_N) / drop_N))
