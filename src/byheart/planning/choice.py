"""The rank that a run of automatic rank begins with: as planned, or more where room makes learning quicker; by the rule
by bits alone where nothing is calibrated.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import PositiveInt

from byheart.config import RunConfig
from byheart.errors import LawError
from byheart.law.document import StoredDocument
from byheart.law.plan import Need, Plan
from byheart.model.base import BaseIdentity
from byheart.model.placement import Placement
from byheart.planning.calibration import find
from byheart.planning.planner import plan_for, reason
from byheart.sizing import RANKS, ROOM_RANK, rank_for


class Choice(StoredDocument):
    """A rank to begin with."""

    kind = "first rank"
    schema_version = 1
    mend = "remove the run's directory to start anew"

    run_fingerprint: str
    """Of whose rank it is; empty where it is kept nowhere."""
    lora_rank: PositiveInt
    """The rank."""
    reason: str
    """Why, in a sentence for a person."""
    plan: Plan | None
    """It was planned by, its own rank perhaps a smaller one; null where there was no calibration for the run."""


def first_rank(
    need: Need,
    bits: float,
    base: BaseIdentity,
    outline: Placement,
    config: RunConfig,
    kept: Path | None = None,
    run_fingerprint: str = "",
) -> Choice:
    """The planned rank where there is a calibration for the run, or up to `ROOM_RANK` that of the rule by bits where it
    is larger; without a calibration that of the rule. With the reason said.

    Args:
        need: what there is to learn.
        bits: the same for the rule, which also knows how far the answers can be compressed.
        base: the model.
        outline: the placement, of rank 1.
        config: the run's settings.
        kept: the file in which the choice is kept: a run that goes on stays with what it began with, whatever
            calibrations have come or gone since. None: nowhere.
        run_fingerprint: the run's identity; what another left in that file is not its own.

    Raises:
        ArtifactError: there is a calibration, or a choice kept, but it is damaged or of a newer schema.
    """
    if kept is not None and kept.is_file() and (found := Choice.read(kept)).run_fingerprint == run_fingerprint:
        return found
    try:
        plan, why = plan_for(need, find(base, outline, config), dtype=base.dtype, ranks=RANKS), ""
    except LawError as error:
        plan, why = None, str(error)
    rank, by_bits = rank_for(bits, outline.num_parameters)
    if plan is None:
        told = f"{by_bits}; not planned: {why}"
    else:
        roomy, told = min(rank, ROOM_RANK), reason(plan)
        rank = max(plan.lora_rank, roomy)
        if rank > plan.lora_rank:
            told += f"; rank {rank} is taken, since learning is quicker with room"
    choice = Choice(run_fingerprint=run_fingerprint, lora_rank=rank, reason=told, plan=plan)
    if kept is not None:
        choice.save(kept)
    return choice
