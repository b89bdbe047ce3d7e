"""Cells that obey a law, with noise or without: what a sweep would have measured."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from byheart.law.cells import Cells
from byheart.law.form import Law
from byheart.law.observation import Observation

LAW = Law(axis="lora_rank", coefficient=26.0, rank_exponent=0.6, length_exponent=0.5, offset_nats=0.3)
RANKS, LENGTHS = (1, 2, 4, 8, 16), (25, 50, 100, 200, 400)
PARAMETERS_EACH_RANK = 2112


def observed(
    law: Law = LAW,
    ranks: Sequence[int] = RANKS,
    lengths: Sequence[int] = LENGTHS,
    *,
    noise: float = 0.0,
    seed: int = 0,
    nll_before_nats: float = 80.0,
    group: str = "random",
) -> list[Observation]:
    """One observation for each rank and length; ``noise`` is the standard deviation of ΔL as a share of it.

    With the default loss before no cell is saturated; where a law asks for more than there is to lose, that is lost.
    """
    generator = np.random.default_rng(seed)
    cells: list[Observation] = []
    for rank in ranks:
        for length in lengths:
            drop_nats = float(law.unclipped_nats(rank, length)) * (1 + noise * float(generator.standard_normal()))
            cells.append(observation(rank, length, min(drop_nats, nll_before_nats), nll_before_nats, group))
    return cells


def observation(
    rank: int,
    length: int,
    nll_drop_nats: float,
    nll_before_nats: float = 80.0,
    group: str = "random",
    *,
    has_converged: bool = True,
) -> Observation:
    """One cell."""
    return Observation(
        group=group,
        lora_rank=rank,
        num_parameters=PARAMETERS_EACH_RANK * rank,
        num_answer_tokens=length,
        nll_before_nats=nll_before_nats,
        nll_after_nats=nll_before_nats - nll_drop_nats,
        num_certified=0,
        num_records=1,
        has_converged=has_converged,
        name=f"{group}-{rank}-{length}",
    )


def as_cells(observations: Sequence[Observation]) -> Cells:
    """The observations as arrays, by rank."""
    return Cells.of(observations, "lora_rank")
