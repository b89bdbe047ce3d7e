"""The active set: records that are known rest, and are replayed now and then so that they do not slip.

    active:   min_probability_i ≤ wanted_probability
    replayed: (turn_i + epoch) mod (rest_epochs + 1) = 0

An epoch visits both. Turns are dealt out by one fixed shuffle, so that every epoch replays the same share of the
records, and none rests for more than ``rest_epochs`` epochs, whatever its standing. A replay that finds a record at or
below the wanted probability makes it active in the next epoch.

Tensor names: N records of the memory, S records selected.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from byheart.method.schedule import Standing


@dataclass(frozen=True, slots=True)
class ActiveSet:
    """The active records and those whose turn it is; the least probable one where there are neither.

    Attributes:
        wanted_probability: a record rests while its least probable answer token is above this.
        rest_epochs: most epochs between two visits of a record; with 0 none ever rests.
    """

    wanted_probability: float
    rest_epochs: int

    def __call__(self, epoch: int, standing: Standing, seed: int) -> Tensor:
        probability_N = standing.min_probability_N
        turn_N = torch.randperm(len(probability_N), generator=torch.Generator().manual_seed(seed))
        is_active_N = ~(probability_N > self.wanted_probability)
        is_replayed_N = (turn_N + epoch) % (self.rest_epochs + 1) == 0
        index_S = (is_active_N | is_replayed_N).nonzero().flatten()
        return index_S if len(index_S) else probability_N.argmin().view(1)
