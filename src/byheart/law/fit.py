"""The law fitted to observations: constants with their intervals, how well they hold, and what was left out.

What cannot be fitted is refused with the reason: better no law than one that the cells do not carry.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from pydantic import NonNegativeInt, PositiveInt

from byheart.errors import LawError
from byheart.law.bootstrap import Interval, intervals
from byheart.law.cells import Axis, Cells, Selection, select
from byheart.law.comparison import FormFit, compare
from byheart.law.config import FitConfig
from byheart.law.curves import PaperCurve
from byheart.law.document import Document
from byheart.law.form import Law
from byheart.law.leave_out import LeaveOut, leave_out
from byheart.law.observation import Evidence
from byheart.law.quality import Quality, quality
from byheart.law.solve import OUTLIER_SIGMAS, residuals, solve

POINTS_NEEDED = 6
"""Different (size, length) among the cells that are fitted: the form has four constants, and two points more are the
least by which it can be seen to fail."""


class Counts(Document):
    """What became of a group's cells; each is counted once."""

    used: PositiveInt
    """Fitted."""
    saturated: NonNegativeInt
    """Left out: the loss ended below ln 2."""
    unconverged: NonNegativeInt
    """Left out: more training would have lowered the loss."""
    unlearnt: NonNegativeInt
    """Left out: the loss did not fall."""
    failed: NonNegativeInt
    """Did not run to their end."""


class Residual(Document):
    """One cell that was fitted, and what the law says of it."""

    name: str
    """The cell's fingerprint."""
    group: str
    """The cell's own group, in a combined fit too."""
    lora_rank: PositiveInt
    num_parameters: PositiveInt
    num_answer_tokens: PositiveInt
    nll_before_nats: float
    """Mean loss before."""
    nll_drop_nats: float
    """ΔL as measured."""
    predicted_nats: float
    """ΔL by the formula, not clipped."""
    is_outlier: bool
    """Whether it lies five times as far from the law as the cells' spread."""

    @property
    def residual_nats(self) -> float:
        """Prediction less what was measured."""
        return self.predicted_nats - self.nll_drop_nats


class LawFit(Document):
    """A law, and how far to trust it."""

    group: str
    """Of which cells."""
    law: Law
    """The constants."""
    intervals: dict[str, Interval]
    """By name of the constant."""
    at_bounds: tuple[str, ...]
    """Constants that ended at the bound of what is searched: the cells do not determine them."""
    quality: Quality
    """Over all cells used."""
    leave_out: LeaveOut | None
    """Null where too few cells remain."""
    leave_out_reason: str
    """Why it is null; else empty."""
    counts: Counts
    """Cells used and left out."""
    cells: tuple[Residual, ...]
    """Those used, by rank and length."""
    forms: tuple[FormFit, ...]
    """The paper's form and others on the same cells, all by plain least squares."""

    @property
    def outliers(self) -> tuple[Residual, ...]:
        """Cells far from the law; they are in the fit and in its quality."""
        return tuple(cell for cell in self.cells if cell.is_outlier)


def fit_law(
    evidence: Evidence,
    group: str,
    axis: Axis = "lora_rank",
    config: FitConfig | None = None,
    advance: Callable[[int], None] = lambda _: None,
) -> LawFit:
    """Fits ΔL = C·r^α·ℓ^(−β) + b to all cells of ``evidence``.

    Args:
        evidence: the cells, of one group or of several together.
        group: what to call them.
        axis: what r is.
        config: how; None: the defaults.
        advance: told of each bootstrap resample.

    Raises:
        LawError: too few cells are left, all of one size or one length, all with the same fall, or the optimiser does
            not converge; with what would mend it.
    """
    config = config or FitConfig()
    selection = select(evidence.observations)
    cells = fittable(selection, len(evidence.failed), group, axis)
    curve = PaperCurve()
    solution = solve(curve, cells, is_robust=config.is_robust)
    predicted_N = curve.predict(solution.x_P, cells)
    far_N = np.abs(residuals(curve, solution.x_P, cells)) > OUTLIER_SIGMAS * solution.sigma_nats
    held, reason = None, ""
    try:
        held = leave_out(curve, cells, is_robust=config.is_robust)
    except LawError as error:
        reason = str(error)
    return LawFit(
        group=group,
        law=curve.law(solution.x_P, cells),
        intervals=intervals(curve, cells, solution, config, advance),
        at_bounds=curve.at_bounds(solution.x_P, cells),
        quality=quality(predicted_N, cells.drop_N),
        leave_out=held,
        leave_out_reason=reason,
        counts=Counts(
            used=len(selection.used),
            saturated=len(selection.saturated),
            unconverged=len(selection.unconverged),
            unlearnt=len(selection.unlearnt),
            failed=len(evidence.failed),
        ),
        cells=tuple(
            Residual(
                name=cell.name,
                group=cell.group,
                lora_rank=cell.lora_rank,
                num_parameters=cell.num_parameters,
                num_answer_tokens=cell.num_answer_tokens,
                nll_before_nats=cell.nll_before_nats,
                nll_drop_nats=cell.nll_drop_nats,
                predicted_nats=float(predicted),
                is_outlier=bool(is_far),
            )
            for cell, predicted, is_far in zip(selection.used, predicted_N, far_N, strict=True)
        ),
        forms=compare(cells),
    )


def fittable(selection: Selection, num_failed: int, group: str, axis: Axis) -> Cells:
    """The cells that are used, as arrays, once it is sure that a law can be fitted to them.

    Raises:
        LawError: it cannot; says why and what would mend it.
    """
    left_out = (
        f"{len(selection.saturated)} saturated, {len(selection.unconverged)} not converged, "
        f"{len(selection.unlearnt)} with no fall of the loss, {num_failed} failed"
    )
    cells = Cells.of(selection.used, axis) if selection.used else None
    num_points = cells.num_points if cells else 0
    if cells is None or num_points < POINTS_NEEDED:
        raise LawError(
            f"{group}: {num_points} different (rank, length) to fit, at least {POINTS_NEEDED} are needed "
            f"(left out: {left_out}); {_mend(num_points, selection, num_failed)}"
        )
    for values_N, what in ((cells.size_N, "rank"), (cells.length_N, "length")):
        if len(np.unique(values_N)) < 2:
            raise LawError(
                f"{group}: all {len(cells)} cells to fit have one {what}, {values_N[0]:g} (left out: {left_out}); "
                f"sweep at least two {what}s that are not saturated"
            )
    if np.ptp(cells.drop_N) == 0:
        raise LawError(
            f"{group}: the loss fell by {cells.drop_N[0]:.4g} nats in all {len(cells)} cells, whatever the rank and "
            "length; there is no law in that, check the sweep"
        )
    return cells


def _mend(num_points: int, selection: Selection, num_failed: int) -> str:
    """What would bring more cells to fit, by what took most of them."""
    mends = {
        "sweep lower ranks or longer answers, whose loss ends above ln 2": len(selection.saturated),
        "sweep with more learn.epochs, until the loss comes to rest": len(selection.unconverged),
        "check the learning rate: nothing was learnt": len(selection.unlearnt),
        "mend the cells that failed and sweep again with --retry-failed": num_failed,
    }
    if num_points + sum(mends.values()) < POINTS_NEEDED:
        return "sweep more ranks and lengths"
    return max(mends, key=lambda mend: mends[mend])
