"""Leave-out error: a law is worth what it says of cells it has not seen.

The cells of the largest size and of the longest length are set aside, the form is fitted to the rest, and exactly those
cells are predicted: what a planner asks of the law, one step beyond the sweep in either direction.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import NonNegativeFloat, PositiveInt

from byheart.errors import LawError
from byheart.law.cells import Cells
from byheart.law.curves import Curve
from byheart.law.document import Document
from byheart.law.quality import mape
from byheart.law.solve import solve

POINTS_NEEDED = 5
"""Different (size, length) that must remain: one more than the paper's form has constants, so that it cannot merely
pass through them."""


class LeaveOut(Document):
    """How cells that were set aside were predicted."""

    mape: NonNegativeFloat
    """Mean of |prediction − ΔL| / ΔL over them; a share."""
    num_fitted: PositiveInt
    """Cells the form was fitted to."""
    num_predicted: PositiveInt
    """Cells set aside."""


def is_held_out(cells: Cells) -> NDArray[np.bool_]:
    """Which cells have the largest size or the longest length."""
    return (cells.size_N == cells.size_N.max()) | (cells.length_N == cells.length_N.max())


def leave_out(curve: Curve, cells: Cells, *, is_robust: bool) -> LeaveOut:
    """Fits a form without the largest size and the longest length, and predicts the cells that have them.

    Raises:
        LawError: what remains cannot be fitted.
    """
    held_out_N = is_held_out(cells)
    rest = cells.take(~held_out_N)
    num_sizes, num_lengths = len(np.unique(rest.size_N)), len(np.unique(rest.length_N))
    if num_sizes < 2 or num_lengths < 2 or rest.num_points < POINTS_NEEDED:
        raise LawError(
            f"without the largest size and the longest length {rest.num_points} different cells remain, of "
            f"{num_sizes} sizes and {num_lengths} lengths; {POINTS_NEEDED} are needed, of 2 and 2 at least; "
            "sweep more of each"
        )
    solution = solve(curve, rest, is_robust=is_robust)
    predicted = cells.take(held_out_N)
    return LeaveOut(
        mape=mape(curve.predict(solution.x_P, predicted), predicted.drop_N),
        num_fitted=len(rest),
        num_predicted=len(predicted),
    )
