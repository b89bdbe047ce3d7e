"""Whether a run ended because there was nothing more to gain, or only because its budget did.

A cell of a run that was still getting better measures its budget and not its adapter: the law must not be fitted to it.
What is asked is how much the training loss still moved over the last fifth of the run, with a tenth of the epochs to a
mean:

    move      = | mean over the tenth before last  −  mean over the last tenth |
    at rest     move of the loss            ≤ 0.01 · (loss before learning − mean over the last tenth)
                move of stubborn tokens     ≤ 0.01 · answer tokens

A loss that rises is not at rest either: what it ends at is of the epoch at which the budget cut it off.

A hundredth: another tenth of the epochs at that pace would move ΔL by less than 1 %, below the 2 to 8 % by which the
law itself misses. An epoch's loss is of the records that it visited; where known ones rest, that of all is not known,
and the stubborn tokens, which are counted over all records, have to be at rest too.
A rate that falls to nothing brings any loss to rest: the question is then whether the schedule was long enough for the
rate it began with, which two budgets side by side answer and one run cannot.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from byheart.learning.events import EpochEvent
from byheart.learning.stopping import StopReason

WINDOW_SHARE = 0.1
TOLERANCE = 0.01


def has_converged(
    stop_reason: StopReason, events: Sequence[EpochEvent], nll_before_nats: float, num_answer_tokens: int
) -> bool:
    """Whether more epochs would have changed little.

    Args:
        stop_reason: of the run. Certified is converged: what was asked for is reached.
        events: of all its epochs.
        nll_before_nats: mean loss of the answer tokens before learning.
        num_answer_tokens: of all records.
    """
    if stop_reason == "certified":
        return True
    of_last_rank = [event for event in events if event.lora_rank == events[-1].lora_rank]
    if not has_settled([event.nll_nats for event in of_last_rank], nll_before_nats):
        return False
    stubborn = [float(event.num_stubborn_tokens) for event in of_last_rank]
    some_rest = any(event.num_visited_records < event.num_records for event in of_last_rank)
    return not some_rest or abs(last_fall(stubborn)) <= TOLERANCE * num_answer_tokens


def has_settled(nlls_nats: Sequence[float], nll_before_nats: float) -> bool:
    """Whether a loss has come to rest below where it began.

    Args:
        nlls_nats: one an epoch.
        nll_before_nats: before the first.

    >>> has_settled([4.0, 2.0, 1.0] + [0.5] * 17, 8.0), has_settled([8.0 - 0.1 * n for n in range(20)], 8.0)
    (True, False)
    """
    drop = nll_before_nats - statistics.fmean(nlls_nats[-_window(nlls_nats) :])
    return drop > 0 and abs(last_fall(nlls_nats)) <= TOLERANCE * drop


def last_fall(values: Sequence[float]) -> float:
    """By how much the mean over the last tenth is below that over the tenth before; without end where there is none.

    Args:
        values: one an epoch.

    >>> last_fall([9.0] * 36 + [5.0, 5.0, 4.0, 2.0])
    5.0
    """
    size = _window(values)
    if len(values) < 2 * size:
        return math.inf
    return statistics.fmean(values[-2 * size : -size]) - statistics.fmean(values[-size:])


def _window(values: Sequence[float]) -> int:
    return max(round(WINDOW_SHARE * len(values)), 1)
