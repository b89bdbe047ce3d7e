"""Token dynamics: what the probabilities of answer tokens say of where a free run fails.

    stubborn          p ≤ 0.5
    earliest stubborn smallest position of a stubborn token in its record
    i*                position at which the free run first leaves the answer
    claim             p > 0.5 is sufficient for the token to be the argmax: no token above it may have another before it

Until a stubborn token the free run cannot fail, so that the earliest stubborn position is a lower bound of i*. p > 0.5
is not necessary: how many tokens are the argmax without it is counted as well.

Tensor names: T answer tokens of a record, A of all records.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from byheart.certification.certificate import Certificate
from byheart.method.config import CERTIFIED_PROBABILITY
from byheart.sweep.measure import NONE

_CRITICAL_NLL_NATS = np.float32(-math.log(CERTIFIED_PROBABILITY))
"""Losses are kept in fp32; below this one p is above one half."""


@dataclass(frozen=True, slots=True)
class RecordDynamics:
    """One record under one adapter.

    Attributes:
        p_T: probability of each answer token.
        is_above_T: whether it is above one half.
        is_argmax_T: whether no other token has as large a logit.
        earliest_stubborn: position; None where no token is stubborn.
        first_failure: i*; None where the free run gives the answer back.
    """

    p_T: NDArray[np.float64]
    is_above_T: NDArray[np.bool_]
    is_argmax_T: NDArray[np.bool_]
    earliest_stubborn: int | None
    first_failure: int | None


@dataclass(frozen=True, slots=True)
class Claim:
    """The claim that p > 0.5 makes a token the argmax, counted over tokens.

    Attributes:
        num_positions: all tokens.
        num_above: those with p > 0.5.
        num_counterexamples: of those, not the argmax.
        num_argmax_below: tokens with p ≤ 0.5 that are the argmax all the same.
        num_early_failures: records whose free run fails before their first stubborn token, which rounding between a
            full pass and a step-by-step one can bring about.
    """

    num_positions: int
    num_above: int
    num_counterexamples: int
    num_argmax_below: int
    num_early_failures: int


def records(tokens: Mapping[str, NDArray]) -> list[RecordDynamics]:
    """The records of a cell, from its tokens' file."""
    ends = np.cumsum(tokens["num_tokens"])[:-1]
    nll_A = tokens["nll_nats"]
    parts = (np.split(values, ends) for values in (np.exp(-nll_A.astype(np.float64)), nll_A, tokens["token_rank"]))
    return [
        RecordDynamics(p_T, nll_T < _CRITICAL_NLL_NATS, rank_T == 1, _position(earliest), _position(failure))
        for p_T, nll_T, rank_T, earliest, failure in zip(
            *parts, tokens["earliest_stubborn"], tokens["first_failure"], strict=True
        )
    ]


def certified_records(certificate: Certificate) -> list[RecordDynamics]:
    """The records of a certificate."""
    return [
        RecordDynamics(
            p_T=np.array(record.p),
            is_above_T=np.array(record.p) > CERTIFIED_PROBABILITY,
            is_argmax_T=np.array(record.token_rank) == 1,
            earliest_stubborn=min(record.stubborn_positions, default=None),
            first_failure=None if record.first_failure is None else record.first_failure.position,
        )
        for record in certificate.records
    ]


def claim(found: Iterable[RecordDynamics]) -> Claim:
    """The claim counted over all tokens of some records."""
    counts = np.zeros(5, dtype=np.int64)
    for each in found:
        stubborn = len(each.p_T) if each.earliest_stubborn is None else each.earliest_stubborn
        counts += (
            len(each.p_T),
            each.is_above_T.sum(),
            (each.is_above_T & ~each.is_argmax_T).sum(),
            (~each.is_above_T & each.is_argmax_T).sum(),
            each.first_failure is not None and each.first_failure < stubborn,
        )
    return Claim(*map(int, counts))


def pairs(found: Iterable[RecordDynamics]) -> list[tuple[int, int]]:
    """(earliest stubborn position, i*) of each record that has both."""
    return [
        (each.earliest_stubborn, each.first_failure)
        for each in found
        if each.earliest_stubborn is not None and each.first_failure is not None
    ]


def spearman(both: Sequence[tuple[float, float]]) -> float | None:
    """Spearman's ρ of pairs, ties by their mean rank; None where it is not defined: fewer than three pairs, or one side
    all alike.

    >>> spearman([(1, 2), (2, 5), (3, 9)]).__round__(6)
    1.0
    """
    if len(both) < 3:
        return None
    first, second = (_ranks(np.array(side, dtype=np.float64)) for side in zip(*both, strict=True))
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    return float(np.corrcoef(first, second)[0, 1])


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """From 1; equal values share the mean of their ranks."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[place]


def _position(at: int) -> int | None:
    return None if at == NONE else int(at)
