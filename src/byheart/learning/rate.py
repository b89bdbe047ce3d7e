"""The learning rate: it falls as less is left to learn, or with the records visited.

    remaining:  rate = start · max(√(stubborn tokens / those at the start), floor_share)
    linear:     rate = start · max(1 − passes / (num_epochs · decay_share), floor_share),  passes = visits / num_records

Recall comes once the rate is low, and what is far from known needs a high one for as long as that takes: nobody can
tell beforehand how long, while the tokens at or below p = 0.5 tell it at every moment. Where the rate falls by visits,
an epoch in which most records rest is a fraction of a pass over the memory, and takes no more than that of the way
down. With every growth of the adapter the fall begins anew, from a share of where it first began: what has been learnt
is to be kept.
"""

from __future__ import annotations

import math

from byheart.learning.config import LearnConfig
from byheart.model.placement import Placement

DEFAULT_RATE = 6e-3
DEFAULT_DECAY_SHARE = 0.5
_DEFAULT_SITES = 21
_DEFAULT_RANK = 16


def starting_rate(config: LearnConfig, placement: Placement, num_records: int) -> float:
    """Where the rate begins: as set, or fitted to how many sites share the work, to the rank, and to how many steps
    pass before a record comes again.

        rate = 0.006 · √(21 / sites) · min(√(16 / rank) · min(30 / steps a pass, 1), 1)

    Measured (docs/engine.md): at the default placement, 21 sites of rank 16; at rank 48, where 0.003 needs 17 passes
    and 0.006 needs 25; and at a single ``down_proj``, where 0.006 does not leave the answers' entropy within 60
    epochs, 0.015 recalls everything after 59 and 0.03 after 37. With 100 steps a pass the rate of 30 does not leave
    it within 37: what others push about in those steps is more than a record's own step moves. Low ranks want the
    rate of few steps all the same: 420 pairs, 42 steps, rank 2 took 119 epochs with it and 198 with 0.7 of it.
    """
    if config.learning_rate is not None:
        return config.learning_rate
    by_sites = math.sqrt(_DEFAULT_SITES / len(placement.sites))
    by_rank = math.sqrt(_DEFAULT_RANK / placement.lora_rank)
    return DEFAULT_RATE * by_sites * min(by_rank * config.pace(num_records), 1.0)


def learning_rate(
    config: LearnConfig,
    start: float,
    num_passes: float,
    num_epochs: int,
    *,
    left_share: float = 1.0,
    is_grown: bool = False,
) -> float:
    """The rate after ``num_passes`` full passes' worth of visits.

    Args:
        config: how the rate falls.
        start: where it begins, as `starting_rate` gives it.
        num_passes: visits since the start or the last growth, as a multiple of the number of records.
        num_epochs: the budget.
        left_share: stubborn tokens, as a share of those there were at the start or the last growth.
        is_grown: whether the adapter has grown.
    """
    start = start * (config.growth_rate_share if is_grown else 1)
    if config.decay == "constant":
        return start
    if config.decay == "remaining":
        return start * max(math.sqrt(min(left_share, 1.0)), config.floor_share)
    spent = num_passes / (num_epochs * (config.decay_share or DEFAULT_DECAY_SHARE))
    return start * max(1 - spent, config.floor_share)
