"""The rank that a run of automatic rank begins with: planned, or by the rule by bits where nothing is calibrated."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from byheart.config import RunConfig
from byheart.errors import ArtifactError, LawError
from byheart.law.plan import Need, Plan
from byheart.learning.state import read_header
from byheart.model.base import BaseIdentity
from byheart.model.placement import Placement
from byheart.planning.calibration import find
from byheart.planning.planner import plan_for, reason
from byheart.sizing import RANKS, rank_for


@dataclass(frozen=True, slots=True)
class Choice:
    """A rank to begin with.

    Attributes:
        lora_rank: the rank.
        reason: why, in a sentence for a person.
        plan: it was planned by; None: there is no calibration for the run, or it goes on with a rank of its own.
    """

    lora_rank: int
    reason: str
    plan: Plan | None = None


def first_rank(
    need: Need, bits: float, base: BaseIdentity, outline: Placement, config: RunConfig, begun: Path | None = None
) -> Choice:
    """The planned rank where there is a calibration for the run, else that of the rule by bits, with the reason said.

    Args:
        need: what there is to learn.
        bits: the same for the rule, which also knows how far the answers can be compressed.
        base: the model.
        outline: the placement, of rank 1.
        config: the run's settings.
        begun: checkpoint of a run that goes on; it keeps the rank it began with, whatever calibrations have come or
            gone since.

    Raises:
        ArtifactError: there is a calibration, or a checkpoint, but it is damaged or of a newer schema.
    """
    try:
        plan = plan_for(need, find(base, outline, config), dtype=base.dtype, ranks=RANKS)
        choice = Choice(plan.lora_rank, reason(plan), plan)
    except LawError as error:
        rank, by_bits = rank_for(bits, outline.num_parameters)
        choice = Choice(rank, f"{by_bits}; not planned: {error}")
    if begun is not None and (rank := rank_begun_with(begun)) != choice.lora_rank:
        return Choice(rank, f"rank {rank}, with which this run began")
    return choice


def rank_begun_with(checkpoint: Path) -> int:
    """The rank of a run's adapter before it grew.

    Raises:
        ArtifactError: not a checkpoint.
    """
    if growths := read_header(checkpoint)["progress"]["growths"]:
        return growths[0]["from_rank"]
    try:
        with safe_open(checkpoint, "pt") as file:
            return file.get_slice("weight.lora_A.0").get_shape()[0]
    except (OSError, SafetensorError) as error:
        raise ArtifactError(f"{checkpoint} is not a byheart checkpoint ({error}); remove it to start anew") from error
