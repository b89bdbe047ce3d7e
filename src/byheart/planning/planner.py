"""A calibration and a need → a plan."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from byheart.errors import LawError, SettingsError
from byheart.law.plan import CONFIDENCE, Need, Plan, Spans, make_plan
from byheart.law.recall import Recall, fit_recall, least_share
from byheart.law.recall_band import RecallBand
from byheart.model.base import DTYPES
from byheart.planning.calibration import Calibration

RANKS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
"""That a plan chooses from: every power of two up to what serving engines take at most."""


def plan_for(
    need: Need,
    calibration: Calibration,
    *,
    dtype: str | None = None,
    ranks: Sequence[int] = RANKS,
    goal: float = 1.0,
    confidence: float = CONFIDENCE,
) -> Plan:
    """The ranks for a memory, and the smallest that reaches the goal.

    Args:
        need: what there is to learn.
        calibration: for the model, placement and method.
        dtype: of the run's products, in which its adapter is saved; None: the calibration's.
        ranks: to choose from.
        goal: share of the records to be certified. For less than all, the step to recall is fitted anew to the cells'
            own outcomes at that goal and at all higher ones that they tell apart.
        confidence: probability with which.

    Raises:
        SettingsError: a goal that is no share.
    """
    if not 0 < goal <= 1:
        raise SettingsError(f"goal {goal:g}: give a share of the records, above 0 and up to 1")
    forecast, cells = calibration.forecast, calibration.observations
    recalls = _recalls(calibration, least_share(goal, need.num_records))
    per_rank, timing = calibration.parameters_per_rank, calibration.timing
    dtype, calibrated_dtype = dtype or calibration.dtype, calibration.dtype
    plan = make_plan(
        need,
        ranks,
        [(recall, RecallBand.of(recall, forecast, cells)) for recall in recalls],
        forecast,
        Spans.of(cells),
        parameters_per_rank=per_rank,
        bytes_per_parameter=DTYPES[dtype].itemsize,
        seconds=lambda rank: None if timing is None else timing.seconds(need, rank * per_rank),
        goal=goal,
        confidence=confidence,
    )
    return plan if dtype == calibrated_dtype else plan.model_copy(update={"calibrated_dtype": calibrated_dtype})


def _recalls(calibration: Calibration, goal: float) -> list[Recall]:
    """The steps to recall at every share that some cell came to, from the goal on: between two of them all cells that
    reach the one reach the other.
    """
    cells = calibration.observations
    shares = {cell.num_certified / cell.num_records for cell in cells}
    recalls: list[Recall] = []
    for share in sorted(share for share in shares if goal <= share < 1):
        # At a share that every cell reaches there is nothing to fit; the next higher one tells the least of it.
        with contextlib.suppress(LawError):
            recalls.append(fit_recall(cells, calibration.forecast, share))
    return [*recalls, calibration.recall]


def reason(plan: Plan) -> str:
    """Why a plan has its rank, in a sentence for a person."""
    chosen = plan.chosen
    goal = "every record" if plan.goal == 1 else f"{plan.goal:.0%} of the records"
    told = f"planned: rank {chosen.lora_rank} certifies {goal} with probability {chosen.told_probability}"
    if not plan.is_reached:
        told += f" (no rank that may be taken reaches {plan.confidence:g})"
    if plan.extrapolates:
        told += f", extrapolating: {beyond(plan)}"
    if plan.calibrated_dtype is not None:
        told += f", as calibrated in {plan.calibrated_dtype}"
    return told


def beyond(plan: Plan) -> str:
    """How far a plan lies outside what was calibrated."""
    names = {
        "lora_rank": "the rank",
        "num_answer_tokens": "the length",
        "nll_before_nats": "the loss before",
        "bits": "the bits to learn",
        "load": "the bits a parameter",
    }
    return ", ".join(f"{names[name]} by a factor of {by:.2g}" for name, by in plan.extrapolations.items())
