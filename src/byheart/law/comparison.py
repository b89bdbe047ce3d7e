"""The forms of `byheart.law.alternatives` on the cells of the paper's: a finding beside the law, never in its place.

All are fitted by plain least squares, since the information criterion (AICc) is that of normal noise. It weighs how
near a form comes against how many constants it has; of two forms the lower is the better, by 2 hardly, by 10 clearly.

Tensor names: N cells.
"""

from __future__ import annotations

import math

import numpy as np
from pydantic import PositiveInt

from byheart.errors import LawError
from byheart.law.alternatives import FORMS
from byheart.law.cells import Cells, Floats
from byheart.law.curves import Curve
from byheart.law.document import Document
from byheart.law.leave_out import leave_out
from byheart.law.quality import Quality, quality
from byheart.law.solve import solve


class FormFit(Document):
    """How one form does on the cells of a fit."""

    name: str
    """A word or two."""
    formula: str
    """As text; r is the size that was chosen as axis."""
    num_constants: PositiveInt
    """How many are free."""
    constants: dict[str, float]
    """By name; empty where the form could not be fitted."""
    quality: Quality | None
    """Null where it could not be fitted."""
    aicc: float | None
    """Akaike's criterion for few cells; null also where there are too few for it."""
    leave_out_mape: float | None
    """Error on the largest size and the longest length, a share; null also where too few cells remain."""
    reason: str
    """Why the form could not be fitted, or nothing left out; else empty."""


def compare(cells: Cells) -> tuple[FormFit, ...]:
    """Every form of `FORMS` on the same cells, the paper's first."""
    return tuple(_fitted(curve, cells) for curve in FORMS)


def aicc(residual_N: Floats, num_constants: int) -> float | None:
    """Akaike's information criterion corrected for few cells; the noise's variance counts as one more constant.

    Returns:
        N·ln(Σ residual² / N) + 2k + 2k(k + 1) / (N − k − 1), with k one more than the constants; None where the cells
        are too few for it, or the residuals all zero.
    """
    num_cells, k = len(residual_N), num_constants + 1
    squares = float(np.sum(residual_N**2))
    if num_cells <= k + 1 or squares == 0:
        return None
    return num_cells * math.log(squares / num_cells) + 2 * k + 2 * k * (k + 1) / (num_cells - k - 1)


def _fitted(curve: Curve, cells: Cells) -> FormFit:
    num_constants = len(curve.bounds(cells)[0])
    constants: dict[str, float] = {}
    agreement = criterion = held = None
    reason = ""
    try:
        x_P = solve(curve, cells, is_robust=False).x_P
        predicted_N = curve.predict(x_P, cells)
        constants = curve.constants(x_P, cells)
        agreement = quality(predicted_N, cells.drop_N)
        criterion = aicc(predicted_N - cells.drop_N, num_constants)
        held = leave_out(curve, cells, is_robust=False).mape
    except LawError as error:
        reason = str(error)
    return FormFit(
        name=curve.name,
        formula=curve.formula,
        num_constants=num_constants,
        constants=constants,
        quality=agreement,
        aicc=criterion,
        leave_out_mape=held,
        reason=reason,
    )
