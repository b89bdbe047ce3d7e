"""Whether a run ended because there was nothing more to gain, or only because its budget did.

A cell of a run that was still getting better measures its budget and not its adapter: the law must not be fitted to it.
What is asked is whether the training loss, and the number of stubborn tokens, still fell over the last fifth of the
run:

    fall    = mean over the tenth before last  −  mean over the last tenth
    settled   fall ≤ 0.01 · (value at the start − mean over the last tenth)

A hundredth: another tenth of the budget at that pace would move ΔL by less than 1 %, below the 2 to 8 % by which the
law itself misses. Both are asked, since an epoch's loss is of the records that it visited, and that of all records is
not known where some rest. A rate that falls to nothing brings any loss to rest: the question is then whether the
schedule was long enough for the rate it began with, which two budgets side by side answer and one run cannot.
"""

from __future__ import annotations

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
        num_answer_tokens: all of which are taken to be stubborn at the start.
    """
    if stop_reason == "certified":
        return True
    last_rank = events[-1].lora_rank
    of_last_rank = [event for event in events if event.lora_rank == last_rank]
    return has_settled([event.nll_nats for event in of_last_rank], nll_before_nats) and has_settled(
        [float(event.num_stubborn_tokens) for event in of_last_rank], float(num_answer_tokens), may_stay=True
    )


def has_settled(values: Sequence[float], at_start: float, *, may_stay: bool = False) -> bool:
    """Whether a falling curve has come to rest.

    Args:
        values: one an epoch.
        at_start: before the first.
        may_stay: whether a curve that never fell counts as at rest; if not, nothing has been learnt at all.

    >>> has_settled([4.0, 2.0, 1.0] + [0.5] * 17, 8.0), has_settled([8.0 - 0.1 * n for n in range(20)], 8.0)
    (True, False)
    """
    size = max(round(WINDOW_SHARE * len(values)), 1)
    if len(values) < 2 * size:
        return False
    last, before = statistics.fmean(values[-size:]), statistics.fmean(values[-2 * size : -size])
    fall_in_all = at_start - last
    if fall_in_all <= 0:
        return may_stay and before <= last
    return before - last <= TOLERANCE * fall_in_all
