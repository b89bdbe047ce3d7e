"""Token dynamics: where recall breaks, and whether p > 0.5 is what keeps it whole.

Let a token be stubborn where p ≤ 0.5 given the right answer before it, and let i* be the position at which the free run
first leaves the answer. Up to i* the free run has the right answer before it, so that it can only break at a token that
is not the argmax, hence at a stubborn one: a record's earliest stubborn position is a lower bound on its i*.

p > 0.5 is sufficient for the argmax and not necessary: at or below 0.5 a token still comes where nothing has more.

Source: "How LoRA Remembers? A Parametric Memory Law for LLM Finetuning", arXiv 2605.30260, figure 3.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

from byheart.certification.certificate import Certificate
from byheart.method.config import CERTIFIED_PROBABILITY

NUM_BINS = 20


@dataclass(frozen=True)
class RecordDynamics:
    """One record, token by token. Positions count its answer tokens from 0.

    Attributes:
        p: probability of each answer token, given the right answer before it.
        token_rank: of each; 1 for the argmax.
        first_failure_position: i*; None where the free run gives the answer back.
    """

    p: Sequence[float]
    token_rank: Sequence[int]
    first_failure_position: int | None

    @cached_property
    def stubborn_positions(self) -> tuple[int, ...]:
        """Where p ≤ 0.5."""
        return tuple(position for position, p in enumerate(self.p) if not p > CERTIFIED_PROBABILITY)

    @property
    def earliest_stubborn_position(self) -> int | None:
        """The first of them; None where there is none."""
        return self.stubborn_positions[0] if self.stubborn_positions else None


@dataclass(frozen=True, slots=True)
class ThresholdClaim:
    """What was measured of the claim that p > 0.5 suffices for the argmax.

    Attributes:
        num_above: positions with p > 0.5.
        num_above_not_argmax: those of them that were not the argmax; the claim says zero.
        num_stubborn: positions with p ≤ 0.5.
        num_stubborn_argmax: those of them that were the argmax all the same: by so many the threshold asks for more
            than it must.
    """

    num_above: int
    num_above_not_argmax: int
    num_stubborn: int
    num_stubborn_argmax: int

    @property
    def holds(self) -> bool:
        """Whether no position contradicts it."""
        return self.num_above_not_argmax == 0


@dataclass(frozen=True, slots=True)
class StubbornBound:
    """Earliest stubborn position against i*, over the records that have both.

    Attributes:
        num_records: those records.
        num_kept: those of them whose i* is not before their earliest stubborn position.
        num_unforeseen: further records, whose free run failed without any stubborn token; rounding between the full
            pass and the free run made them, and they are no part of the correlation.
        spearman_rho: of the two positions; None where fewer than three records have both, or where all records agree in
            one of them.
    """

    num_records: int
    num_kept: int
    num_unforeseen: int
    spearman_rho: float | None


@dataclass(frozen=True, slots=True)
class Bin:
    """Positions from ``start`` up to but not including ``stop``, and how many free runs first failed there."""

    start: int
    stop: int
    count: int


@dataclass(frozen=True)
class Dynamics:
    """Token dynamics of records that were measured, of one certificate or of many.

    Attributes:
        records: in order; at least one.
    """

    records: tuple[RecordDynamics, ...]

    @property
    def num_tokens(self) -> int:
        """Of all records."""
        return sum(len(record.p) for record in self.records)

    @cached_property
    def claim(self) -> ThresholdClaim:
        """The claim, over all positions."""
        counts = {(is_above, is_argmax): 0 for is_above in (True, False) for is_argmax in (True, False)}
        for record in self.records:
            for p, token_rank in zip(record.p, record.token_rank, strict=True):
                counts[p > CERTIFIED_PROBABILITY, token_rank == 1] += 1
        return ThresholdClaim(
            num_above=counts[True, True] + counts[True, False],
            num_above_not_argmax=counts[True, False],
            num_stubborn=counts[False, True] + counts[False, False],
            num_stubborn_argmax=counts[False, True],
        )

    @cached_property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """Earliest stubborn position and i*, of each record that has both."""
        return tuple(
            (earliest, failure)
            for record in self.records
            if (earliest := record.earliest_stubborn_position) is not None
            and (failure := record.first_failure_position) is not None
        )

    @cached_property
    def bound(self) -> StubbornBound:
        """The bound on i*, over the records that failed."""
        num_failed = sum(record.first_failure_position is not None for record in self.records)
        return StubbornBound(
            num_records=len(self.pairs),
            num_kept=sum(earliest <= failure for earliest, failure in self.pairs),
            num_unforeseen=num_failed - len(self.pairs),
            spearman_rho=spearman(*zip(*self.pairs, strict=True)) if self.pairs else None,
        )

    def failure_histogram(self, num_bins: int = NUM_BINS) -> tuple[Bin, ...]:
        """Where free runs first failed: bins of one width that cover the longest answer; none where none failed.

        Args:
            num_bins: at most so many.
        """
        failures = [at for record in self.records if (at := record.first_failure_position) is not None]
        if not failures:
            return ()
        longest = max(len(record.p) for record in self.records)
        width = math.ceil(longest / num_bins)
        counts = [0] * math.ceil(longest / width)
        for position in failures:
            counts[position // width] += 1
        return tuple(Bin(index * width, (index + 1) * width, count) for index, count in enumerate(counts))


def dynamics_of(certificates: Iterable[Certificate]) -> Dynamics:
    """The token dynamics of every record of certificates.

    Args:
        certificates: at least one.

    Example:
        >>> dynamics_of([Certificate.read(Path("runs/contacts/certificate.json"))]).claim.holds    # doctest: +SKIP
        True
    """
    return Dynamics(
        tuple(
            RecordDynamics(
                p=record.p,
                token_rank=record.token_rank,
                first_failure_position=None if record.first_failure is None else record.first_failure.position,
            )
            for certificate in certificates
            for record in certificate.records
        )
    )


def spearman(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Spearman's ρ: Pearson's correlation of the ranks, equal values sharing the mean of theirs.

    Args:
        first: numbers.
        second: as many.

    Returns:
        Between -1 and 1; None for fewer than three pairs, or where either holds one value alone.

    >>> spearman([1, 2, 3, 4], [10, 20, 40, 30])
    0.8
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} and {len(second)} numbers: a correlation takes pairs")
    if len(first) < 3:
        return None
    a, b = _ranks(first), _ranks(second)
    mean = (len(a) + 1) / 2
    covariance = math.fsum((x - mean) * (y - mean) for x, y in zip(a, b, strict=True))
    spread = math.fsum((x - mean) ** 2 for x in a) * math.fsum((y - mean) ** 2 for y in b)
    return covariance / math.sqrt(spread) if spread else None


def _ranks(values: Sequence[float]) -> list[float]:
    """Ranks from 1, equal values sharing the mean of theirs."""
    ranks = [0.0] * len(values)
    before = 0
    for _, tied in groupby(sorted(range(len(values)), key=values.__getitem__), key=values.__getitem__):
        indices = list(tied)
        for index in indices:
            ranks[index] = before + (len(indices) + 1) / 2
        before += len(indices)
    return ranks
