"""A plan: for one memory and a list of ranks, what each would come to, and the smallest that reaches the goal.

A plan is a statement about runs like those it was calibrated on. Beyond the ranks, lengths and losses that those had it
still answers, but says that it extrapolates, and by which factor.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from byheart.errors import LawError, SettingsError
from byheart.law.bootstrap import Interval
from byheart.law.document import Document
from byheart.law.forecast import Forecast
from byheart.law.observation import Observation, bits_lacking
from byheart.law.recall import Recall
from byheart.law.recall_band import RecallBand

CONFIDENCE = 0.9
"""Probability with which the goal is to be reached at the planned rank."""
AS_LIKELY = 0.99
"""Share of the likeliest rank's probability that a smaller one must have, where none reaches the goal."""


Curve = tuple[Recall, RecallBand | None]
"""A step to recall, and how sure it is; None: not known."""


@dataclass(frozen=True, slots=True)
class Need:
    """What there is to learn.

    Attributes:
        num_records: how many.
        num_answer_tokens: ℓ, of all records together.
        nll_before_nats: their mean loss under the base model alone.

    Raises:
        LawError: any of them is not positive.
    """

    num_records: int
    num_answer_tokens: int
    nll_before_nats: float

    def __post_init__(self) -> None:
        """Refuses what cannot be planned for."""
        for name in self.__slots__:
            if not getattr(self, name) > 0:
                raise LawError(f"{name} is {getattr(self, name)}: a plan needs a positive number")

    @property
    def bits(self) -> float:
        """There are to learn."""
        return bits_lacking(self.num_answer_tokens, self.nll_before_nats)


class Span(Document):
    """From where to where something was calibrated."""

    smallest: PositiveFloat
    largest: PositiveFloat

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Of at least one value."""
        return cls(smallest=min(values), largest=max(values))

    def beyond(self, value: float) -> float:
        """By which factor ``value`` lies outside; 1 inside.

        >>> Span(smallest=10, largest=40).beyond(20), Span(smallest=10, largest=40).beyond(80)
        (1.0, 2.0)
        """
        return max(self.smallest / value, value / self.largest, 1.0)

    def nearest(self, value: float) -> float:
        """``value`` where it lies inside, else the end that it is nearer to.

        >>> Span(smallest=10, largest=40).nearest(20), Span(smallest=10, largest=40).nearest(80)
        (20, 40.0)
        """
        return min(max(value, self.smallest), self.largest)


class Spans(Document):
    """The cells' ranges. A long memory and one that is far from the base model may each lie within theirs while one
    that is both asks for more bits than any cell had: so these have a range too.
    """

    lora_rank: Span
    num_answer_tokens: Span
    nll_before_nats: Span
    bits: Span
    load: Span
    """Bits a parameter."""

    @classmethod
    def of(cls, observations: Sequence[Observation]) -> Self:
        """Of at least one cell."""
        columns = {name: [float(getattr(cell, name)) for cell in observations] for name in cls.model_fields}
        return cls(**{name: Span.of(values) for name, values in columns.items()})

    def overfilled(self, load: float) -> float:
        """By which factor an adapter is fuller than any cell's; one that is roomier is none that is not known."""
        return max(load / self.load.largest, 1.0)


class PlannedRank(Document):
    """What one rank would come to."""

    lora_rank: PositiveInt
    probability: float = Field(ge=0, le=1)
    """That the goal is reached."""
    predicted_nll_nats: NonNegativeFloat | None
    """Mean loss after learning, clipped at what there is to lose; null where the cells carry no law."""
    probability_interval: Interval | None = None
    """Where the probability lies, as far as the cells determine the curve of recall; see `byheart.law.recall_band`."""
    nll_interval: Interval | None = None
    """The predicted loss give or take how far it missed on groups left out; null where that is not known."""
    num_parameters: PositiveInt
    adapter_bytes: PositiveInt
    """Of its weights as saved, without padding for serving."""
    seconds: NonNegativeFloat | None
    """About, on a machine like the calibration's; null where that is not known."""
    extrapolation: float = Field(ge=1)
    """Factor by which this rank, the length, the loss before or the bits to learn lie outside what was calibrated, or
    by which it is fuller than any cell was; the largest of the five, 1 where all are within. The rank counts where a
    curve reads it by itself; a curve of bits a parameter alone does not see it."""

    @property
    def told_probability(self) -> str:
        """Its probability for a person: never shown as certain, nor as higher than it is, hence rounded down."""
        if self.probability > 0.99:
            return ">0.99"
        if self.probability < 0.01:
            return "<0.01"
        percent = math.floor(100 * self.probability + 1e-9)  # 100 · 0.29 is a little less than 29 to a computer
        return f"{percent / 100:.2f}"


class Plan(Document):
    """The ranks, and which of them to take."""

    goal: float = Field(gt=0, le=1)
    """Share of the records that are to be certified."""
    confidence: float = Field(gt=0, lt=1)
    """Probability with which."""
    num_records: PositiveInt
    num_answer_tokens: PositiveInt
    nll_before_nats: PositiveFloat
    extrapolations: dict[str, float]
    """Factors by which the chosen rank, the length, the loss before, the bits to learn and the bits a parameter lie
    outside what was calibrated; only of those that do."""
    reading: str
    """From what the chosen rank's probability is read: law, or bits."""
    ranks: tuple[PlannedRank, ...]
    """By rank, rising."""
    lora_rank: PositiveInt
    """The smallest rank that reaches the goal; where none does, the smallest of those that come nearest."""
    calibrated_dtype: str | None = None
    """Of the calibration's products, where it is another than the run's; else null."""

    @property
    def chosen(self) -> PlannedRank:
        """What the chosen rank would come to."""
        return self.at(self.lora_rank)

    def at(self, lora_rank: int) -> PlannedRank:
        """What one of `ranks` would come to."""
        return next(each for each in self.ranks if each.lora_rank == lora_rank)

    @property
    def is_reached(self) -> bool:
        """Whether the chosen rank reaches the goal with the confidence wanted."""
        return self.chosen.probability >= self.confidence

    @property
    def extrapolates(self) -> bool:
        """Whether the chosen rank's numbers lie outside what was calibrated."""
        return bool(self.extrapolations)


def make_plan(
    need: Need,
    ranks: Sequence[int],
    curves: Sequence[Curve],
    forecast: Forecast | None,
    spans: Spans,
    *,
    parameters_per_rank: int,
    bytes_per_parameter: int,
    seconds: Callable[[int], float | None] = lambda _: None,
    goal: float = 1.0,
    confidence: float = CONFIDENCE,
) -> Plan:
    """What each rank would come to, and the smallest that reaches the goal.

    Args:
        need: what there is to learn.
        ranks: to choose from.
        curves: of the goal and of higher ones, at least one. Who reaches more reaches the goal, so that at each rank
            the likeliest counts.
        forecast: the law; None: the cells carried none.
        spans: what was calibrated.
        parameters_per_rank: of the placement.
        bytes_per_parameter: as saved.
        seconds: about how long a run of a rank takes.
        goal: share of the records that are to be certified.
        confidence: probability with which.

    Raises:
        SettingsError: no ranks, or one that is not positive.
    """
    if not ranks or min(ranks) < 1:
        raise SettingsError(f"ranks {list(ranks)}: give at least one, each 1 or more")
    size = (need.num_answer_tokens, need.nll_before_nats)
    memory_beyond = {
        name: getattr(spans, name).beyond(getattr(need, name))
        for name in ("num_answer_tokens", "nll_before_nats", "bits")
    }

    def likeliest_at(rank: int) -> Curve:
        return max(curves, key=lambda curve: curve[0].probability(rank, *size, forecast))

    curve_at = {rank: likeliest_at(rank) for rank in sorted(set(ranks))}

    def beyond_at(rank: int) -> dict[str, float]:
        reads_law = curve_at[rank][0].reading == "law"
        reads_load_alone = reads_law and forecast is not None and forecast.capacity is not None
        rank_beyond = 1.0 if reads_load_alone else spans.lora_rank.beyond(rank)
        load = spans.overfilled(need.bits / (rank * parameters_per_rank))
        return {"lora_rank": rank_beyond, **memory_beyond, "load": load}

    def planned_at(rank: int) -> PlannedRank:
        recall, band = curve_at[rank]
        return PlannedRank(
            lora_rank=rank,
            probability=recall.probability(rank, *size, forecast),
            predicted_nll_nats=None if forecast is None else forecast.nll_after_nats(rank, *size),
            probability_interval=None if band is None else band.interval(rank, *size),
            nll_interval=None if forecast is None else forecast.nll_interval(rank, *size),
            num_parameters=rank * parameters_per_rank,
            adapter_bytes=rank * parameters_per_rank * bytes_per_parameter,
            seconds=seconds(rank),
            extrapolation=max(beyond_at(rank).values()),
        )

    planned = [planned_at(rank) for rank in curve_at]
    likeliest = max(each.probability for each in planned)
    enough = confidence if likeliest >= confidence else AS_LIKELY * likeliest
    chosen = next(each for each in planned if each.probability >= enough)
    return Plan(
        goal=goal,
        confidence=confidence,
        num_records=need.num_records,
        num_answer_tokens=need.num_answer_tokens,
        nll_before_nats=need.nll_before_nats,
        extrapolations={name: factor for name, factor in beyond_at(chosen.lora_rank).items() if factor > 1},
        reading=curve_at[chosen.lora_rank][0].reading,
        ranks=tuple(planned),
        lora_rank=chosen.lora_rank,
    )
