"""The fitted law as blocks of a page: its constants, ΔL over size and length, predicted against measured, residuals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from byheart.law.cells import SATURATED_NLL_NATS
from byheart.law.fit import LawFit, Residual
from byheart.law.fits import COMBINED, LawFits
from byheart.law.form import Law
from byheart.law.observation import DONE, group_of
from byheart.report.blocks import Axis, Block, Chart, Charts, Point, Prose, Rule, Series, Table
from byheart.report.law_figures import LENGTH_LABEL, SIZE_LABELS

_LETTERS = {"coefficient": "C", "rank_exponent": "α", "length_exponent": "β", "offset_nats": "b (nats)"}
_POINTS_A_LINE = 24


@dataclass(frozen=True, slots=True)
class _Place:
    """A measured cell on the plane of size and length."""

    size: int
    length: int
    drop_nats: float
    is_fitted: bool
    note: str

    def along(self, *, is_over_size: bool) -> tuple[int, int]:
        """Where on the horizontal axis, and on which line."""
        return (self.size, self.length) if is_over_size else (self.length, self.size)


def law_blocks(fits: LawFits, rows: Sequence[Any]) -> list[Block]:
    """What a law comes to.

    Args:
        fits: the laws.
        rows: of the sweep's table, for the cells that were left out as saturated.
    """
    size = "r" if fits.axis == "lora_rank" else "P"
    return [
        Prose(
            f"ΔL = C·{size}^α·ℓ^-β + b: how far the mean loss of the answer tokens falls, by the adapter's size and "
            f"the answers' length. Behind each constant, where {fits.config.confidence:.0%} of "
            f"{fits.config.num_resamples:,} resamples of the cells have it."
        ),
        _constants(fits),
        *(Prose(refusal.reason) for refusal in fits.refusals),
        Charts("ΔL over size and length", _views(fits, rows)),
        Charts("Predicted against measured", {"predicted": predicted_against_measured(fits.all_fits)}),
        Charts(
            "What is left over",
            {
                "over size": residuals(fits.all_fits, fits.axis, SIZE_LABELS[fits.axis]),
                "over length": residuals(fits.all_fits, "num_answer_tokens", LENGTH_LABEL),
            },
        ),
        Table(
            "Other forms on the same cells",
            ("group", "form", "formula", "R²", "MAPE %", "AICc", "leave-out MAPE %"),
            [row for fit in fits.all_fits for row in _forms(fit)],
        ),
    ]


def _constants(fits: LawFits) -> Table:
    columns = ("group", *_LETTERS.values(), "R²", "MAPE %", "RMSE (nats)", "leave-out MAPE %", "cells", "left out")
    rows = []
    for fit in fits.all_fits:
        constants = [f"{getattr(fit.law, name):.3g}  ({fit.intervals[name]})" for name in _LETTERS]
        left_out = fit.counts.saturated + fit.counts.unconverged + fit.counts.unlearnt + fit.counts.failed
        held = None if fit.leave_out is None else 100 * fit.leave_out.mape
        agreed = fit.quality
        quality = [agreed.r_squared, 100 * agreed.mape, agreed.rmse_nats]
        rows.append([fit.group, *constants, *quality, held, fit.counts.used, left_out])
    return Table("Constants, and how well they hold", columns, rows)


def _forms(fit: LawFit) -> Iterable[list[Any]]:
    for form in fit.forms:
        agreed = form.quality
        figures = [None, None] if agreed is None else [agreed.r_squared, 100 * agreed.mape]
        held = None if form.leave_out_mape is None else 100 * form.leave_out_mape
        yield [fit.group, form.name, form.formula, *figures, form.aicc, held]


def _views(fits: LawFits, rows: Sequence[Any]) -> dict[str, Chart]:
    views: dict[str, Chart] = {}
    for fit in fits.all_fits:
        places = [*_fitted(fit), *_saturated(fit, fits, rows)]
        views[f"{fit.group}: over size"] = _cuts(fit.law, places, is_over_size=True)
        views[f"{fit.group}: over length"] = _cuts(fit.law, places, is_over_size=False)
    return views


def _fitted(fit: LawFit) -> Iterable[_Place]:
    for cell in fit.cells:
        note = f"law {cell.predicted_nats:.3g} nats\nloss before {cell.nll_before_nats:.3g} nats\ncell {cell.name}"
        yield _Place(getattr(cell, fit.law.axis), cell.num_answer_tokens, cell.nll_drop_nats, True, note)


def _saturated(fit: LawFit, fits: LawFits, rows: Sequence[Any]) -> Iterable[_Place]:
    for row in rows:
        is_mine = fit.group == COMBINED or group_of(row, fits.group_by) == fit.group
        if row["status"] == DONE and is_mine and row["nll_after_nats"] < SATURATED_NLL_NATS:
            note = f"saturated, not fitted: final loss {row['nll_after_nats']:.3g} nats\ncell {row['cell']}"
            yield _Place(row[fits.axis], row["num_answer_tokens"], row["nll_drop_nats"], False, note)


def _cuts(law: Law, places: Sequence[_Place], *, is_over_size: bool) -> Chart:
    """One line of the law through the cells of each length, or of each size, named at its end."""
    shown = [place for place in places if place.drop_nats > 0]
    across, lines = SIZE_LABELS[law.axis], LENGTH_LABEL
    if not is_over_size:
        across, lines = lines, across
    names = sorted({place.along(is_over_size=is_over_size)[1] for place in shown})
    series: list[Series] = []
    for index, name in enumerate(names):
        shade = index / max(len(names) - 1, 1)
        mine = [place for place in shown if place.along(is_over_size=is_over_size)[1] == name]
        xs = [place.along(is_over_size=is_over_size)[0] for place in mine]
        line = [(x, drop) for x in _between(min(xs), max(xs)) if (drop := _predicted(law, x, name, is_over_size)) > 0]
        series.append(Series(f"{name:,}", line, "line", shade=shade, is_named_at_end=True))
        for is_fitted in (True, False):
            points: list[Point] = [
                (x, place.drop_nats, f"{lines} {name:,}\n{place.note}")
                for x, place in zip(xs, mine, strict=True)
                if place.is_fitted == is_fitted
            ]
            if points:
                series.append(Series("", points, "points" if is_fitted else "hollow", shade=shade))
    ticks = sorted({place.along(is_over_size=is_over_size)[0] for place in shown})
    return Chart(
        Axis(across, "log", ticks=ticks),
        Axis("ΔL (nats)", "log"),
        series,
        note=f"{law}. Lines: the law, by {lines}. Filled: cells it was fitted to; hollow: saturated ones, left out.",
    )


def _between(low: float, high: float) -> list[float]:
    """Values from one to the other, evenly apart on a logarithmic axis."""
    steps = _POINTS_A_LINE - 1
    return [low * (high / low) ** (step / steps) for step in range(_POINTS_A_LINE)] if high > low else [low]


def _predicted(law: Law, x: float, line: float, is_over_size: bool) -> float:
    size, length = (x, line) if is_over_size else (line, x)
    return float(f"{float(law.unclipped_nats(size, length)):.5g}")


def predicted_against_measured(fits: Sequence[LawFit]) -> Chart:
    """ΔL as the laws have it over ΔL as measured; on the line they agree, outliers are ringed."""
    both: list[float] = []
    series: list[Series] = []
    for index, fit in enumerate(fits):
        points: list[Point] = [
            (
                cell.nll_drop_nats,
                cell.predicted_nats,
                f"rank {cell.lora_rank:,}, {cell.num_answer_tokens:,} tokens\ncell {cell.name}",
            )
            for cell in fit.cells
        ]
        both += [value for x, y, *_ in points for value in (x, y)]
        label = f"{fit.group}: R² {fit.quality.r_squared:.3f}, MAPE {fit.quality.mape:.1%}"
        series.append(Series(label, points, colour=index))
        if fit.outliers:
            rings = [(cell.nll_drop_nats, cell.predicted_nats) for cell in fit.outliers]
            series.append(Series("", rings, "ring", colour=None))
    room = 0.04 * (max(both) - min(both))
    ends = (min(both) - room, max(both) + room)
    diagonal = Series("", [(ends[0], ends[0]), (ends[1], ends[1])], "line", colour=None)
    return Chart(
        Axis("measured ΔL (nats)", ends=ends),
        Axis("predicted ΔL (nats)", ends=ends),
        [diagonal, *series],
    )


def residuals(fits: Sequence[LawFit], at: str, label: str) -> Chart:
    """Prediction less measurement over one of the cells' values: a law that holds leaves no shape; outliers are ringed.

    Args:
        fits: at least one.
        at: name of the value, of `byheart.law.fit.Residual`.
        label: of its axis.
    """

    def points(cells: Iterable[Residual]) -> list[Point]:
        return [
            (
                getattr(cell, at),
                cell.residual_nats,
                f"rank {cell.lora_rank:,}, {cell.num_answer_tokens:,} tokens\ncell {cell.name}",
            )
            for cell in cells
        ]

    series = [Series(fit.group, points(fit.cells), colour=index) for index, fit in enumerate(fits)]
    series += [Series("", points(fit.outliers), "ring", colour=None) for fit in fits if fit.outliers]
    ticks = sorted({getattr(cell, at) for fit in fits for cell in fit.cells})
    return Chart(
        Axis(label, "log", ticks=ticks), Axis("predicted − measured ΔL (nats)"), series, rules=[Rule("0", y=0)]
    )
