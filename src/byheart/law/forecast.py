"""ΔL of a memory that is of no group: the law carried over to other content by what the base model expects of it.

A sweep's groups differ in how well the base model knows their content already, and the only thing known of a new
memory's is its loss before. Four ways lead from there to a law, and cells decide between them:

    all alike       ΔL = C·r^α·ℓ^-β + b                  one law for all cells, whatever their loss before
    share           ΔL = L_before·(C·r^α·ℓ^-β + b)       one law of the share of what there is to lose
    nearest group   each group's own law, of the group whose L_before is nearest in logarithm
    saturating      ΔL = (L_before - e)·(1 - exp(-(k·P/B)^γ))    one capacity for all: P parameters, B bits to learn,
                                                         e the loss at which runs end that recall everything

The first three are the paper's form, which ends where all is learnt: they are fitted to cells whose loss is left above
ln 2, and clipped beyond. The last bends there, so that every cell tells of it, and a few that were overfilled do.

Each is fitted without one group at a time and predicts the cells of that group that did not come back whole, since the
others are foretold by any; the one that errs least is taken, its error being that of a share of the loss before, so
that no group counts for more than another.

Tensor names: N cells.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Literal

import numpy as np
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt

from byheart.errors import LawError
from byheart.law.alternatives import BitsCurve, RelativeCurve
from byheart.law.bootstrap import Interval
from byheart.law.cells import Cells, Floats, Selection, select
from byheart.law.curves import PaperCurve
from byheart.law.document import Document
from byheart.law.fit import POINTS_NEEDED, fittable
from byheart.law.form import Law
from byheart.law.observation import Observation, bits_lacking
from byheart.law.solve import solve

Way = Literal["all alike", "share", "nearest group", "saturating"]
WAYS: tuple[Way, ...] = ("share", "all alike", "nearest group", "saturating")
"""In the order in which they are preferred where nothing tells them apart."""
SHARE_LEFT = 0.01
"""Of the loss before: what a cell has to have left, beside that at which runs end, to tell where a capacity ends."""

MOST_BITS = 32
"""A parameter of an adapter has: where cells tell of a capacity beyond, they tell of none."""


class ContentLaw(Document):
    """A law, and of what content it speaks."""

    group: str
    """Of which cells."""
    nll_before_nats: PositiveFloat
    """Mean loss before of those cells, geometric."""
    law: Law
    """In nats; where the way is ``share``, in shares of the loss before."""


class Capacity(Document):
    """How much the parameters of one placement hold, and how sharply that ends."""

    bits_per_parameter: PositiveFloat
    """k: a memory of so many bits a parameter is learnt but for a share of 1/e."""
    load_exponent: PositiveFloat
    """γ: how sharply; at most `LARGEST_EXPONENT`, beyond which a few overfilled cells cannot tell it from a step."""
    parameters_per_rank: PositiveFloat
    """Of the placement."""

    def times_paid(self, size: float, bits: float) -> float:
        """(k·P/B)^γ: minus the logarithm of the share of the loss that is left."""
        held = self.bits_per_parameter * self.parameters_per_rank * size
        return math.exp(self.load_exponent * math.log(held / bits))

    def __str__(self) -> str:
        return f"{self.bits_per_parameter:.3g} bits a parameter, exponent {self.load_exponent:.3g}"


class Forecast(Document):
    """ΔL by size, length and loss before."""

    way: Way
    """How the law is carried over to new content."""
    laws: tuple[ContentLaw, ...]
    """One for all cells, or one a group; none where the way is ``saturating``."""
    capacity: Capacity | None = None
    """Where the way is ``saturating``; else null."""
    nll_at_end_nats: NonNegativeFloat = 0.0
    """Where runs end that recall everything, for they stop there; the median of such cells, 0 where there are none."""
    num_cells: PositiveInt
    """That it was fitted to."""
    errors: dict[Way, NonNegativeFloat]
    """Root mean square error on groups that were left out, a share of the loss before, by way; empty where there is
    but one group, or no way could be fitted without some group. A way that could not is absent."""

    def times_paid(self, size: float, num_answer_tokens: float, nll_before_nats: float) -> float:
        """How many times over the law pays for what there is to lose. In the paper's form ΔL / L_before, unclipped;
        in the saturating one what its exponential is taken of. Either goes on rising where nothing is left to lose.

        Args:
            size: r.
            num_answer_tokens: ℓ.
            nll_before_nats: mean loss under the base model alone.
        """
        if self.capacity is not None:
            return self.capacity.times_paid(size, bits_lacking(num_answer_tokens, nll_before_nats))
        return self.unclipped_nats(size, num_answer_tokens, nll_before_nats) / nll_before_nats

    def unclipped_nats(self, size: float, num_answer_tokens: float, nll_before_nats: float) -> float:
        """ΔL by the formula alone, which in the paper's form can be more than there is to lose; asked as `times_paid`
        is.
        """
        if self.capacity is not None:
            can_fall = max(nll_before_nats - self.nll_at_end_nats, 0.0)
            return can_fall * -math.expm1(-self.times_paid(size, num_answer_tokens, nll_before_nats))
        nearest = min(self.laws, key=lambda each: abs(math.log(each.nll_before_nats / nll_before_nats)))
        drop = float(nearest.law.unclipped_nats(size, num_answer_tokens))
        return drop * nll_before_nats if self.way == "share" else drop

    def nll_after_nats(self, size: float, num_answer_tokens: float, nll_before_nats: float) -> float:
        """The mean loss that is left, between where runs end that recall everything and all there was."""
        after = nll_before_nats - self.unclipped_nats(size, num_answer_tokens, nll_before_nats)
        return min(max(after, self.nll_at_end_nats), nll_before_nats)

    def nll_interval(self, size: float, num_answer_tokens: float, nll_before_nats: float) -> Interval | None:
        """That loss with one root mean square error of groups that were left out to either side, between where runs end
        that recall everything and all there was; None where no group could be left out.
        """
        if (error := self.errors.get(self.way)) is None:
            return None
        reach = error * nll_before_nats
        after = self.nll_after_nats(size, num_answer_tokens, nll_before_nats)
        low = min(max(after - reach, self.nll_at_end_nats), after)
        return Interval(low=low, high=min(after + reach, nll_before_nats))

    def __str__(self) -> str:
        told = ", ".join(f"{each.group}: {each.law}" for each in self.laws) or str(self.capacity)
        return f"{self.way}, {told}"


def fit_forecast(observations: Sequence[Observation], way: Way | None = None) -> Forecast:
    """The law carried over to other content.

    Args:
        observations: cells of one placement, of one group or several. Those whose loss did not fall are left out as in
            every fit; saturated ones are, but where the form saturates too. Those that had not converged are not: a
            plan is asked what a run leaves when its budget ends, and not what its adapter could have held with another.
        way: how, fitted by plain squares; None: of the ways that these cells allow the one that errs least on groups
            left out, fitted robustly.

    Raises:
        LawError: the cells that are left can carry no law; says why and what would mend it.
    """
    selection = _selected(observations)
    whole = [cell.nll_after_nats for cell in observations if cell.is_whole]
    end = float(np.median(whole)) if whole else 0.0
    if way is not None:
        return _fitted(way, selection, end, is_robust=False)
    ran = [cell for cell in observations if cell.nll_drop_nats > 0]
    groups = sorted({cell.group for cell in ran})
    errors: dict[Way, float] = {}
    for each in WAYS if len(groups) > 1 else ():
        try:
            errors[each] = _left_out_error(each, ran, groups)
        except LawError:
            continue  # without one of the groups this way cannot be fitted; it is no candidate
    reasons: list[LawError] = []
    for each in sorted(errors, key=lambda each: errors[each]) or WAYS:
        try:
            return _fitted(each, selection, end, is_robust=True).model_copy(update={"errors": errors})
        except LawError as error:
            reasons.append(error)
    raise reasons[0]


def _selected(observations: Sequence[Observation]) -> Selection:
    """The cells that tell what a run leaves, and those that do not."""
    selection = select(observations)
    ended = sorted((*selection.used, *selection.unconverged), key=lambda cell: cell.name)
    fell = tuple(cell for cell in ended if cell.nll_drop_nats > 0)
    unlearnt = tuple(cell for cell in ended if cell.nll_drop_nats <= 0)
    return replace(selection, used=fell, unconverged=(), unlearnt=(*selection.unlearnt, *unlearnt))


def _fitted(way: Way, selection: Selection, end_nats: float, *, is_robust: bool) -> Forecast:
    if way == "saturating":
        cells = _bending(selection, end_nats)
        capacity = _capacity(cells, end_nats, is_robust=is_robust)
        laws, num_cells = (), len(cells)
    else:
        capacity = None
        laws, num_cells = _laws(way, selection, is_robust=is_robust), len(selection.used)
    return Forecast(way=way, laws=laws, capacity=capacity, nll_at_end_nats=end_nats, num_cells=num_cells, errors={})


def _bending(selection: Selection, end_nats: float) -> Cells:
    """The cells of a form that saturates, once it is sure that they show where.

    Raises:
        LawError: they do not.
    """
    learnt = [cell for cell in (*selection.used, *selection.saturated) if cell.nll_drop_nats > 0]
    overfilled = [
        cell
        for cell in learnt
        if not cell.is_whole and cell.nll_after_nats - end_nats > SHARE_LEFT * cell.nll_before_nats
    ]
    cells = Cells.of(learnt, "lora_rank") if learnt else None
    if cells is None or cells.num_points < POINTS_NEEDED or not overfilled:
        raise LawError(
            f"{cells.num_points if cells else 0} different (rank, length) whose loss fell, {len(overfilled)} of them "
            f"overfilled: at least {POINTS_NEEDED} are needed, and one in which records do not come back; sweep lower "
            "ranks or larger memories"
        )
    return cells


def _capacity(cells: Cells, end_nats: float, *, is_robust: bool) -> Capacity:
    """Of what can fall, the share that fell: a run ends above zero because it stops there, not for want of room.

    Raises:
        LawError: the loss hardly depends on the room, so that the end of it lies anywhere.
    """
    can_fall_N = np.maximum(cells.before_N - end_nats, cells.drop_N)
    cells = replace(cells, drop_N=cells.before_N * cells.drop_N / can_fall_N)
    curve = BitsCurve()
    constants = curve.constants(solve(curve, cells, is_robust=is_robust).x_P, cells)
    if constants["bits_per_parameter"] > MOST_BITS:
        raise LawError(
            f"the cells do not tell where an adapter is full: {constants['bits_per_parameter']:.2g} bits a parameter "
            f"would be, and none has more than {MOST_BITS}; sweep lower ranks or larger memories"
        )
    return Capacity(**constants, parameters_per_rank=float(np.mean(cells.parameters_N / cells.size_N)))


def _laws(way: Way, selection: Selection, *, is_robust: bool) -> tuple[ContentLaw, ...]:
    parts = {"all cells": selection}
    if way == "nearest group" and selection.used:
        parts = {group: _of(selection, group) for group in sorted({cell.group for cell in selection.used})}
    return tuple(_law(way, part, group, is_robust=is_robust) for group, part in parts.items())


def _of(selection: Selection, group: str) -> Selection:
    parts = {each.name: getattr(selection, each.name) for each in fields(Selection)}
    return Selection(**{name: tuple(cell for cell in cells if cell.group == group) for name, cells in parts.items()})


def _law(way: Way, selection: Selection, group: str, *, is_robust: bool) -> ContentLaw:
    cells = fittable(selection, 0, group, "lora_rank")
    curve = RelativeCurve() if way == "share" else PaperCurve()
    law = curve.law(solve(curve, cells, is_robust=is_robust).x_P, cells)
    return ContentLaw(group=group, nll_before_nats=float(np.exp(np.log(cells.before_N).mean())), law=law)


def _left_out_error(way: Way, ran: Sequence[Observation], groups: Sequence[str]) -> float:
    """Root mean square error, a share of the loss before, over all cells that did not come back whole, each predicted
    without its group.

    Raises:
        LawError: without some group the rest cannot be fitted, or all cells came back whole.
    """
    errors: list[Floats] = []
    for group in groups:
        rest = [cell for cell in ran if cell.group != group]
        forecast = fit_forecast(rest, way)
        if partial := [cell for cell in ran if cell.group == group and not cell.is_whole]:
            errors.append(np.array([_error(forecast, cell) for cell in partial]))
    if not errors:
        raise LawError("all cells came back whole: nothing tells how far a law misses")
    return float(np.sqrt(np.mean([float(np.mean(each**2)) for each in errors])))


def _error(forecast: Forecast, cell: Observation) -> float:
    predicted = forecast.nll_after_nats(cell.lora_rank, cell.num_answer_tokens, cell.nll_before_nats)
    return (predicted - cell.nll_after_nats) / cell.nll_before_nats
