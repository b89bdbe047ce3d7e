"""Which records an epoch visits: the protocol, and the plain case (all of them).

A schedule sees how each record stood when it was last visited, and names the records of the coming epoch. It is pure:
the same epoch, standing and seed give the same records, so that a resumed run goes the way an unbroken one goes.

Tensor names: N records of the memory, S records selected.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Standing:
    """How each record stood when it was last seen, by training or by a look.

    Attributes:
        min_probability_N: probability of the record's least probable answer token, fp32; 0 where it was not seen yet.
        num_stubborn_N: its answer tokens at or below p = 0.5, int64; 0 where it was not seen yet.
        last_seen_N: epoch of that visit, int64; -1 where it was not seen yet.
    """

    min_probability_N: Tensor
    num_stubborn_N: Tensor
    last_seen_N: Tensor

    @classmethod
    def unseen(cls, num_records: int) -> Standing:
        """The standing before the first epoch."""
        none_N = torch.zeros(num_records, dtype=torch.int64)
        return cls(torch.zeros(num_records), none_N, none_N - 1)

    def take_in(self, epoch: int, index_S: Sequence[int] | slice, worst_nll_S: Tensor, num_stubborn_S: Tensor) -> None:
        """Puts what was seen of some records in the place of what was known of them.

        Args:
            epoch: of the visit, from 0.
            index_S: the records.
            worst_nll_S: largest loss of each one's answer tokens, nats.
            num_stubborn_S: of its answer tokens at or below p = 0.5.
        """
        self.min_probability_N[index_S] = (-worst_nll_S).exp()
        self.num_stubborn_N[index_S] = num_stubborn_S
        self.last_seen_N[index_S] = epoch

    @property
    def is_complete(self) -> bool:
        """Whether every record has been seen."""
        return bool((self.last_seen_N >= 0).all())

    def all_above(self, probability: float) -> bool:
        """Whether every record was above ``probability`` at every token when it was last seen."""
        return bool((self.min_probability_N > probability).all())


class RecordSchedule(Protocol):
    """A rule that picks the records of an epoch; see `AllRecords` for the smallest one."""

    def __call__(self, epoch: int, standing: Standing, seed: int) -> Tensor:
        """The records of ``epoch`` (from 0).

        Returns:
            index_S: int64, distinct, at least one, in no particular order; the loop shuffles them.
        """
        ...


@dataclass(frozen=True, slots=True)
class AllRecords:
    """Every record, every epoch."""

    def __call__(self, epoch: int, standing: Standing, seed: int) -> Tensor:
        return torch.arange(len(standing.last_seen_N))
