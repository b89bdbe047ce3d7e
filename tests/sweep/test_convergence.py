from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byheart.learning.events import EpochEvent
from byheart.sweep.convergence import has_converged, has_settled


def event(epoch: int, nll_nats: float, num_stubborn_tokens: int = 50) -> EpochEvent:
    return EpochEvent(
        epoch=epoch,
        spent_visits=epoch,
        budget_visits=40,
        lora_rank=2,
        learning_rate=0.01,
        objective=nll_nats,
        nll_nats=nll_nats,
        num_visited_records=4,
        num_stubborn_tokens=num_stubborn_tokens,
        num_certified_records=0,
        num_records=4,
        seconds=1.0,
        train_seconds=float(epoch),
    )


AT_REST = [event(n, 2.0 + 6.0 * 0.6**n, 30) for n in range(1, 41)]
FALLING = [event(n, 8.0 - 0.1 * n, 30) for n in range(1, 41)]


def converged(reason, events):
    return has_converged(reason, events, nll_before_nats=8.0, num_answer_tokens=50)


def test_a_loss_that_rises_at_the_end_has_not_come_to_rest():
    assert not has_settled([4.0] * 5 + [1.0] * 13 + [3.0] * 2, 8.0)


@pytest.mark.parametrize("reason", ["budget", "plateau"])
def test_a_loss_at_rest_is_converged_and_one_that_falls_is_not(reason):
    assert converged(reason, AT_REST)
    assert not converged(reason, FALLING)


@pytest.mark.parametrize(("per_epoch", "expected"), [(0.016, False), (0.01, True)])
def test_another_tenth_may_move_the_fall_by_a_hundredth(per_epoch, expected):
    """Of a fall of 4.2 nats: 0.064 nats in the last tenth, four epochs of 0.016, are more than a hundredth."""
    values = [8.0 - 0.2 * n for n in range(20)] + [4.0 - per_epoch * n for n in range(20)]
    assert has_settled(values, 8.0) is expected


def test_certified_is_converged_however_it_fell():
    assert converged("certified", FALLING)


RESTING = [replace(e, num_visited_records=3) for e in AT_REST]


def test_stubborn_tokens_that_still_fall_are_not_converged_where_records_rest():
    """The loss of those visited may stay while fewer and fewer are left."""
    falling = [replace(e, num_stubborn_tokens=50 - n) for n, e in enumerate(RESTING)]
    assert not converged("budget", falling)
    assert converged("budget", [replace(e, num_visited_records=4) for e in falling]), "the loss is of all records"


@pytest.mark.parametrize(("num_fewer", "expected"), [(1, True), (3, False)])
def test_a_hundredth_of_the_tokens_may_still_be_learnt_in_a_tenth_of_the_run(num_fewer, expected):
    """Of 50 tokens half a one: at 1 fewer in the last 2 of 4 epochs it is that much, at 3 it is more."""
    last = [replace(e, num_stubborn_tokens=30 - num_fewer) for e in RESTING[-2:]]
    assert converged("budget", [*RESTING[:-2], *last]) is expected


def test_tokens_that_are_all_still_stubborn_keep_nothing_from_rest():
    assert converged("budget", [replace(e, num_stubborn_tokens=50) for e in RESTING])


def test_what_an_adapter_lost_by_growing_is_not_counted():
    smaller = [replace(e, lora_rank=1) for e in FALLING]
    assert converged("budget", [*smaller, *AT_REST])
    assert not converged("budget", [*AT_REST, *(replace(e, lora_rank=4) for e in FALLING)])


def test_nothing_learnt_is_not_converged():
    assert not has_settled([8.0] * 40, 8.0)
    assert not has_settled([9.0] * 40, 8.0)


def test_too_few_epochs_tell_nothing():
    assert not has_settled([1.0], 8.0)


@given(st.lists(st.floats(0.1, 10), min_size=20, max_size=60), st.floats(0.5, 20.0))
def test_the_unit_of_the_loss_does_not_matter(values, at_start):
    """A power of two, so that no rounding does."""
    assert has_settled(values, at_start) == has_settled([4 * value for value in values], 4 * at_start)
