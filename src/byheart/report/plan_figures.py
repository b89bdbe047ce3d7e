"""The figure of a plan: what each rank would come to, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from byheart.law.bootstrap import Interval
from byheart.law.plan import Plan, PlannedRank
from byheart.law.recall_band import BAND_CONFIDENCE
from byheart.report.figures import FAINT, INK, SERIES, blank, house_style
from byheart.report.law_figures import SIZE_LABELS, plain_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@house_style()
def plan_curve(plan: Plan) -> Figure:
    """The probability that the goal is reached, by rank, and beside it the loss that is left where there is a law. The
    planned rank is ringed; ranks at which the plan extrapolates are hollow.

    Bands: of the probability, where it lies with 95 % by how well the calibration's cells determine the curve of
    recall; of the loss, one root mean square error of the law on groups of cells that it was not fitted to. Where a
    plan carries no interval there is no band.

    Args:
        plan: as `byheart.planning.planner.plan_for` makes it.

    Example:
        >>> from byheart.report.figures import save                        # doctest: +SKIP
        >>> save(plan_curve(plan), Path("plan"))                           # doctest: +SKIP
    """
    has_law = plan.chosen.predicted_nll_nats is not None
    figure, panels = blank(7.6 if has_law else 4.2, 3.4, 2 if has_law else 1)
    goal = "every record" if plan.goal == 1 else f"{plan.goal:.4g} of the records"
    probabilities = panels[0]
    _rule(probabilities, plan.confidence, "wanted")
    _curve(probabilities, plan, [each.probability for each in plan.ranks], 0)
    _band(probabilities, plan.ranks, [each.probability_interval for each in plan.ranks], 0)
    probabilities.set(ylim=(-0.03, 1.03), ylabel=f"probability that {goal} ends certified")
    notes = []
    if plan.chosen.probability_interval is not None:
        notes.append(f"band of the probability: {BAND_CONFIDENCE:.0%} of the fitted curve of recall")
    if has_law:
        losses = [each.predicted_nll_nats or 0.0 for each in plan.ranks]
        _curve(panels[1], plan, losses, 1)
        _band(panels[1], plan.ranks, [each.nll_interval for each in plan.ranks], 1)
        _rule(panels[1], plan.nll_before_nats, "before learning")
        panels[1].set(ylim=(-0.03 * plan.nll_before_nats, 1.08 * plan.nll_before_nats), ylabel="predicted loss (nats)")
        if plan.chosen.nll_interval is not None:
            notes.append("of the loss: one RMSE on groups left out")
    if any(each.extrapolation > 1 for each in plan.ranks):
        notes.append("hollow: extrapolated")
    if notes:
        figure.suptitle(("; " if has_law else "\n").join(notes), fontsize=8, color=FAINT)
    return figure


def _rule(axes: Axes, height: float, label: str) -> None:
    """A line to compare with, named at its left end."""
    axes.axhline(height, color=FAINT, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
    axes.annotate(
        label,
        (0, height),
        xycoords=("axes fraction", "data"),
        xytext=(3, 2),
        textcoords="offset points",
        size=7,
        color=FAINT,
    )


def _curve(axes: Axes, plan: Plan, values: Sequence[float], index: int) -> None:
    """A line through all ranks, a mark at each, a ring around the planned one."""
    ranks, colour = [each.lora_rank for each in plan.ranks], SERIES[index]
    axes.plot(ranks, values, color=colour, zorder=2)
    for each, value in zip(plan.ranks, values, strict=True):
        face = "white" if each.extrapolation > 1 else colour
        axes.plot(
            each.lora_rank,
            value,
            marker="os"[index],
            markersize=5,
            markerfacecolor=face,
            markeredgecolor=colour,
            zorder=3,
        )
        if each.lora_rank == plan.lora_rank:
            axes.plot(
                each.lora_rank, value, marker="o", markersize=11, markerfacecolor="none", markeredgecolor=INK, zorder=4
            )
    axes.set(xscale="log", xlabel=SIZE_LABELS["lora_rank"])
    plain_ticks(axes, ranks)


def _band(axes: Axes, ranks: Sequence[PlannedRank], intervals: Sequence[Interval | None], index: int) -> None:
    """What lies between the ends of the intervals that are known."""
    known = [(each.lora_rank, at) for each, at in zip(ranks, intervals, strict=True) if at is not None]
    if known:
        low, high = [at.low for _, at in known], [at.high for _, at in known]
        axes.fill_between(
            [rank for rank, _ in known], low, high, color=SERIES[index], alpha=0.18, linewidth=0, zorder=1
        )
