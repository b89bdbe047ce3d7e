"""Figures of the law: what it predicts against what was measured, ΔL over size and length, what is left over, and heat
maps of a sweep. Each function takes plain records and gives a figure; `byheart.report.figures.save` writes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from byheart.law.cells import SATURATED_NLL_NATS, Axis
from byheart.law.fit import LawFit
from byheart.law.observation import Observation
from byheart.report.figures import FAINT, HAIR, INK, MARKERS, blank, colour_bar, house_style, series, shade

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZE_LABELS: dict[Axis, str] = {"lora_rank": "adapter rank r", "num_parameters": "adapter parameters P"}
LENGTH_LABEL = "answer tokens ℓ"
Quantity = Literal["final loss", "token accuracy"]


@dataclass(frozen=True, slots=True)
class GridValue:
    """One cell of a heat map: where it lies and what is shown there."""

    size: int
    num_answer_tokens: int
    value: float


@dataclass(frozen=True, slots=True)
class _Point:
    """One measured cell: where it lies, its ΔL above the offset in nats, and whether it was fitted."""

    size: int
    num_answer_tokens: int
    above_nats: float
    is_fitted: bool


@house_style()
def predicted_against_measured(fits: Sequence[LawFit]) -> Figure:
    """ΔL as the laws have it over ΔL as measured: on the line they agree. Outliers are ringed.

    Args:
        fits: at least one; each cell is predicted by the law of its own fit.
    """
    figure, [axes] = blank(4.6, 4.4)
    both: list[float] = []
    for index, fit in enumerate(fits):
        label = f"{fit.group}: R² {fit.quality.r_squared:.3f}, MAPE {100 * fit.quality.mape:.1f} %"
        pairs = [(cell.nll_drop_nats, cell.predicted_nats) for cell in fit.cells]
        _scatter(axes, pairs, index, label)
        _ring(axes, [(cell.nll_drop_nats, cell.predicted_nats) for cell in fit.outliers])
        both += [value for pair in pairs for value in pair]
    room = 0.06 * (max(both) - min(both))
    ends = (min(both) - room, max(both) + room)
    axes.plot(ends, ends, color=FAINT, linewidth=0.9, zorder=1)
    axes.set(xlim=ends, ylim=ends, aspect="equal", xlabel="measured ΔL (nats)", ylabel="predicted ΔL (nats)")
    axes.legend(loc="upper left", handletextpad=0.2, borderaxespad=0.2)
    return figure


@house_style()
def residuals(fits: Sequence[LawFit], axis: Axis = "lora_rank") -> Figure:
    """Prediction less measurement, over size and over length: a law that holds leaves no shape. Outliers are ringed.

    Args:
        fits: at least one.
        axis: of the fits.
    """
    figure, panels = blank(7.6, 3.2, 2, same_rows=True)
    for axes, at, label in zip(panels, (axis, "num_answer_tokens"), (SIZE_LABELS[axis], LENGTH_LABEL), strict=True):
        axes.axhline(0, color=FAINT, linewidth=0.9, zorder=1)
        for index, fit in enumerate(fits):
            _scatter(axes, [(getattr(cell, at), cell.residual_nats) for cell in fit.cells], index, fit.group)
            _ring(axes, [(getattr(cell, at), cell.residual_nats) for cell in fit.outliers])
        axes.set(xscale="log", xlabel=label)
        plain_ticks(axes, {getattr(cell, at) for fit in fits for cell in fit.cells})
    panels[0].set_ylabel("predicted − measured ΔL (nats)")
    if len(fits) > 1:
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right upper", handletextpad=0.2)
    return figure


@house_style()
def drop_over_grid(fit: LawFit, saturated: Sequence[Observation] = ()) -> Figure:
    """ΔL − b over size and over length, all axes logarithmic: there the law is a plane, and its cuts are straight.

    Args:
        fit: the law and its cells; lines are the law's, filled points what was measured.
        saturated: cells that were left out of it; shown hollow, where they bend away from the lines.
    """
    axis, offset_nats = fit.law.axis, fit.law.offset_nats
    measured = [(cell, True) for cell in fit.cells] + [(cell, False) for cell in saturated]
    points = [
        _Point(getattr(cell, axis), cell.num_answer_tokens, cell.nll_drop_nats - offset_nats, is_fitted)
        for cell, is_fitted in measured
    ]
    shown = [point for point in points if point.above_nats > 0]
    figure, panels = blank(7.6, 3.9, 2, same_rows=True)
    _cuts(panels[0], fit, shown, is_over_size=True)
    _cuts(panels[1], fit, shown, is_over_size=False)
    panels[0].set_ylabel("ΔL − b (nats)")
    notes = [f"{fit.group}: {fit.law}"]
    if saturated:
        notes.append("hollow: final loss below ln 2, not fitted")
    if num_below := len(points) - len(shown):
        notes.append(f"{num_below} below b, not shown")
    figure.suptitle("; ".join(notes), fontsize=9)
    return figure


@house_style()
def heat_map(values: Iterable[GridValue], quantity: Quantity, axis: Axis = "lora_rank") -> Figure:
    """A quantity over size and length, written into each cell; repeats are averaged, what was not swept stays empty.

    Args:
        values: at least one.
        quantity: "final loss" in nats, where a line parts cells above ln 2 from those below; or "token accuracy".
        axis: what the sizes are.
    """
    gathered: dict[tuple[int, int], list[float]] = {}
    for each in values:
        gathered.setdefault((each.size, each.num_answer_tokens), []).append(each.value)
    sizes, lengths = sorted({size for size, _ in gathered}), sorted({length for _, length in gathered})
    grid = np.full((len(sizes), len(lengths)), np.nan)
    for (size, length), repeats in gathered.items():
        grid[sizes.index(size), lengths.index(length)] = fmean(repeats)
    figure, [axes] = blank(1.9 + 0.52 * len(lengths), 1.3 + 0.4 * len(sizes))
    is_loss = quantity == "final loss"
    # Dark is what is not known: high loss, low accuracy; the map's lightness alone tells the order.
    top = float(np.nanmax(grid)) if is_loss else 1.0
    image = axes.imshow(grid, cmap="cividis_r" if is_loss else "cividis", vmin=0, vmax=top, origin="lower")
    image.axes.set_aspect("auto")
    for (row, column), value in np.ndenumerate(grid):
        if np.isfinite(value):
            is_dark = value > 0.5 * top if is_loss else value < 0.5
            text = f"{value:.2f}" if value < 9.95 else f"{value:.1f}"
            axes.text(column, row, text, ha="center", va="center", fontsize=7, color="white" if is_dark else "black")
    if is_loss:
        _part(axes, grid, SATURATED_NLL_NATS)
    axes.set_xticks(range(len(lengths)), [f"{length:,}" for length in lengths])
    axes.set_yticks(range(len(sizes)), [f"{size:,}" for size in sizes])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set(xlabel=LENGTH_LABEL, ylabel=SIZE_LABELS[axis])
    colour_bar(figure, image, axes, "final loss (nats); line: ln 2" if is_loss else "token accuracy")
    return figure


def _scatter(axes: Axes, pairs: Sequence[tuple[float, float]], index: int, label: str) -> None:
    axes.plot(
        [x for x, _ in pairs],
        [y for _, y in pairs],
        linestyle="",
        markersize=5,
        markeredgecolor="white",
        markeredgewidth=0.5,
        label=label,
        zorder=3,
        **series(index),
    )


def _ring(axes: Axes, pairs: Sequence[tuple[float, float]]) -> None:
    for x, y in pairs:
        axes.plot(x, y, linestyle="", marker="o", markersize=11, markerfacecolor="none", markeredgecolor=INK, zorder=4)


def _cuts(axes: Axes, fit: LawFit, points: Sequence[_Point], *, is_over_size: bool) -> None:
    """One line of the law through the cells of each length, or of each size, named at its end."""
    from matplotlib.ticker import LogFormatter

    def place(point: _Point) -> tuple[int, int]:
        """Where on the horizontal axis, and on which line."""
        return (point.size, point.num_answer_tokens) if is_over_size else (point.num_answer_tokens, point.size)

    names = sorted({place(point)[1] for point in points})
    for index, name in enumerate(names):
        mine = [point for point in points if place(point)[1] == name]
        ends = np.array([min(place(point)[0] for point in mine), max(place(point)[0] for point in mine)], dtype=float)
        along = np.full(2, float(name))
        law = fit.law.unclipped_nats(*((ends, along) if is_over_size else (along, ends))) - fit.law.offset_nats
        colour = shade(index, len(names))
        axes.plot(ends, law, color=colour, zorder=2)
        axes.annotate(f"{name:,}", (ends[1], law[1]), xytext=(7, 0), textcoords="offset points", va="center", size=7)
        for is_fitted, face in ((True, colour), (False, "white")):
            alike = [point for point in mine if point.is_fitted == is_fitted]
            look: dict[str, Any] = {"markerfacecolor": face, "markeredgecolor": colour, "markersize": 4.5}
            axes.plot(
                [place(point)[0] for point in alike],
                [point.above_nats for point in alike],
                linestyle="",
                marker=MARKERS[index % len(MARKERS)],
                zorder=3,
                **look,
            )
    axes.set(xscale="log", yscale="log", xlabel=SIZE_LABELS[fit.law.axis] if is_over_size else LENGTH_LABEL)
    axes.yaxis.set_major_formatter(LogFormatter())
    axes.yaxis.set_minor_formatter(LogFormatter())
    axes.grid(color=HAIR, linewidth=0.5)
    axes.margins(x=0.12)
    plain_ticks(axes, {place(point)[0] for point in points})
    other = LENGTH_LABEL if is_over_size else SIZE_LABELS[fit.law.axis]
    axes.set_title(f"lines: {other}", fontsize=8, color=FAINT, loc="left")


def plain_ticks(axes: Axes, values: Iterable[int]) -> None:
    """Ticks of a logarithmic axis at the very values that were swept, as far as they have room."""
    ordered = sorted(values)
    apart = np.log(ordered[-1] / ordered[0]) / 9 if len(ordered) > 1 else 0
    chosen: list[int] = []
    for value in ordered:
        if not chosen or np.log(value / chosen[-1]) >= apart:
            chosen.append(value)
    axes.set_xticks(chosen, [f"{value:,}" for value in chosen])
    axes.set_xticks([], minor=True)


def _part(axes: Axes, grid: np.ndarray, threshold: float) -> None:
    """A line between neighbours on different sides of a threshold."""
    is_above = grid > threshold
    for row, column in np.ndindex(grid.shape):
        for across, down in ((0, 1), (1, 0)):
            other = (row + across, column + down)
            if other[0] >= grid.shape[0] or other[1] >= grid.shape[1]:
                continue
            if np.isnan(grid[row, column]) or np.isnan(grid[other]) or is_above[row, column] == is_above[other]:
                continue
            start = (other[1] - 0.5, other[0] - 0.5)
            end = (start[0] + across, start[1] + down)
            axes.plot(*zip(start, end, strict=True), color=INK, linewidth=1.6, solid_capstyle="round")
