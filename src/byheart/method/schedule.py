"""Which records an epoch visits: the protocol, and the plain case (all of them).

A schedule sees how each record stood when it was last visited, and names the records of the coming epoch. It is pure:
the same epoch, standing and seed give the same records, so that a resumed run goes the way an unbroken one goes.

Tensor names: N records of the memory, S records selected.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Standing:
    """How each record stood when training last saw it.

    Attributes:
        min_probability_N: probability of the record's least probable answer token, fp32; 0 where it was not seen yet.
        last_seen_N: epoch of that visit, int64; -1 where it was not seen yet.
    """

    min_probability_N: Tensor
    last_seen_N: Tensor

    @classmethod
    def unseen(cls, num_records: int) -> Standing:
        """The standing before the first epoch."""
        return cls(torch.zeros(num_records), torch.full((num_records,), -1, dtype=torch.int64))


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
