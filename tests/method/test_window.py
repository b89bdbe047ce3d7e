import copy
import json
import math
import random
from collections.abc import Mapping, Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from byheart.method.weighting import WeightingState
from byheart.method.window import NO_ERROR, SlidingWindow
from oracles import weightings as oracle
from oracles.batches import Step, by_record, one_record, random_run

SEEDS = st.integers(0, 2**32 - 1)
LN_2 = math.log(2)
"""A loss whose soft threshold is one half, so that a weight is half the mask."""


def masks(weighting: SlidingWindow, length: int, first_errors: Sequence[int | None]) -> list[list[float]]:
    """The masks of one record over several steps, each step failing first where ``first_errors`` says."""
    state: WeightingState = {}
    rows: list[list[float]] = []
    for first in first_errors:
        weight_A, state = weighting(one_record([LN_2] * length, first).packed(), state)
        rows.append((2 * weight_A).tolist())
    return rows


def windows(first_errors: Sequence[int | None]) -> list[int]:
    """Per step, how many tokens from the first error on are inside the window."""
    rows = masks(SlidingWindow(), 300, first_errors)
    return [sum(one != pytest.approx(0.01, rel=1e-5) for one in row) for row in rows]


@given(SEEDS, st.booleans(), st.sampled_from([0, 5]))
@settings(max_examples=60)
def test_weights_equal_the_oracle_over_many_steps(seed: int, state_by_slot: bool, skip_last_tokens: int) -> None:
    weighting = SlidingWindow(state_by_slot=state_by_slot, skip_last_tokens=skip_last_tokens)
    state: WeightingState = {}
    remembered: dict[str, oracle.WindowMemory] = {}
    for step in random_run(seed, num_steps=14):
        keys = [f"slot {i}" for i in range(len(step.ids))] if state_by_slot else step.ids
        expected = oracle.memft_sw(step.nll, step.errors, keys, remembered, skip_last=skip_last_tokens)
        weight_A, state = weighting(step.packed(), state)
        assert weight_A.tolist() == pytest.approx([one for row in expected for one in row], rel=1e-4, abs=1e-9)


@given(SEEDS, st.randoms(use_true_random=False))
@settings(max_examples=30)
def test_the_order_of_records_in_a_batch_changes_nothing(seed: int, rng: random.Random) -> None:
    state: WeightingState = {}
    other_state: WeightingState = {}
    for step in random_run(seed, num_steps=8):
        other = step.arranged(rng.sample(range(len(step.ids)), len(step.ids)))
        weight_A, state = SlidingWindow()(step.packed(), state)
        other_weight_A, other_state = SlidingWindow()(other.packed(), other_state)
        assert_same_weights(by_record(weight_A, step), by_record(other_weight_A, other))
        assert state == other_state


@given(SEEDS)
@settings(max_examples=30)
def test_the_company_of_a_record_in_its_batch_changes_nothing(seed: int) -> None:
    state: WeightingState = {}
    alone_state: WeightingState = {}
    for step in random_run(seed, num_steps=8):
        weight_A, state = SlidingWindow()(step.packed(), state)
        alone: dict[str, list[float]] = {}
        for i in range(len(step.ids)):
            single = step.arranged([i])
            single_A, alone_state = SlidingWindow()(single.packed(), alone_state)
            alone |= by_record(single_A, single)
        assert_same_weights(by_record(weight_A, step), alone)
        assert state == alone_state


def assert_same_weights(left: Mapping[str, list[float]], right: Mapping[str, list[float]]) -> None:
    assert left.keys() == right.keys()
    for key, weights in left.items():
        assert weights == pytest.approx(right[key], rel=1e-6)


@given(SEEDS)
@settings(max_examples=20)
def test_records_outside_the_batch_keep_their_state(seed: int) -> None:
    state: WeightingState = {}
    for step in random_run(seed, num_steps=8):
        _, after = SlidingWindow()(step.packed(), state)
        assert {key: after[key] for key in state if key not in step.ids} == {
            key: value for key, value in state.items() if key not in step.ids
        }
        state = after


@given(SEEDS)
@settings(max_examples=20)
def test_a_run_goes_on_from_a_state_that_went_through_json(seed: int) -> None:
    run = random_run(seed, num_steps=8)
    state: WeightingState = {}
    for step in run[:-1]:
        _, state = SlidingWindow()(step.packed(), state)
    restored = json.loads(json.dumps(state))
    assert restored == state
    assert torch.equal(SlidingWindow()(run[-1].packed(), restored)[0], SlidingWindow()(run[-1].packed(), state)[0])


def test_the_state_handed_in_is_left_as_it_was() -> None:
    state = {"a": {"anchor": 1.0, "steps": 2.0, "expansion": 1.0}, "b": {"anchor": 0.0, "steps": 0.0, "expansion": 1.0}}
    before = copy.deepcopy(state)
    SlidingWindow()(one_record([1.0, 1.0, 1.0], 1).packed(), state)
    assert state == before


def test_the_mask_decays_from_the_first_error_on() -> None:
    [mask] = masks(SlidingWindow(), 5, [2])
    assert mask == pytest.approx([1.0, 1.0, 1.0, math.exp(-1 / 20), math.exp(-2 / 20)])


def test_the_mask_is_the_floor_past_the_window() -> None:
    [mask] = masks(SlidingWindow(), 60, [3])
    assert mask[3 + 49] == pytest.approx(math.exp(-49 / 20))
    assert mask[3 + 50 :] == pytest.approx([0.01] * 7)


def test_the_first_error_is_the_anchor_and_later_ones_are_not() -> None:
    step = Step(["a"], [[LN_2] * 5], [[False, True, False, True, True]])
    weight_A, _ = SlidingWindow()(step.packed(), {})
    assert weight_A.tolist() == pytest.approx([0.5, 0.5, *(0.5 * math.exp(-t / 20) for t in (1, 2, 3))])


def test_a_token_weighs_by_how_far_its_loss_is_from_the_threshold() -> None:
    nll = [0.0, LN_2 - 0.1, LN_2, LN_2 + 0.1, 9.0]
    weight_A, _ = SlidingWindow()(one_record(nll).packed(), {})
    assert weight_A.tolist() == pytest.approx([1 / (1 + 2**10), 0.2689414, 0.5, 0.7310586, 1.0], rel=1e-4)


def test_without_an_error_nothing_is_masked() -> None:
    assert masks(SlidingWindow(), 80, [None]) == [pytest.approx([1.0] * 80)]


def test_the_window_grows_once_the_anchor_has_stayed_put_for_three_steps() -> None:
    assert windows([0] * 5) == [50, 50, 50, 75, 100]


def test_the_window_grows_no_further_than_four_times_its_length() -> None:
    assert windows([0] * 11)[7:] == [175, 200, 200, 200]


def test_the_window_is_as_it_was_at_first_when_the_anchor_has_moved() -> None:
    assert windows([0] * 5 + [1] * 5)[5:] == [51, 51, 51, 76, 101]


def test_patience_starts_anew_after_a_step_without_an_error() -> None:
    assert windows([0, 0, 0, 0, None, 0, 0, 0, 0])[5:] == [50, 50, 50, 75]


def test_steps_in_which_a_record_is_not_visited_are_not_counted() -> None:
    state: WeightingState = {}
    for _ in range(3):
        _, state = SlidingWindow()(one_record([LN_2] * 100, 0, "a").packed(), state)
        _, state = SlidingWindow()(one_record([LN_2] * 100, 7, "b").packed(), state)
    weight_A, _ = SlidingWindow()(one_record([LN_2] * 100, 0, "a").packed(), state)
    assert weight_A[74].item() == pytest.approx(0.5 * math.exp(-74 / 20), rel=1e-5)
    assert weight_A[75].item() == pytest.approx(0.005, rel=1e-5)


def test_state_by_slot_takes_over_the_patience_of_another_record() -> None:
    weighting = SlidingWindow(state_by_slot=True)
    state: WeightingState = {}
    for key in ("a", "b", "c"):
        _, state = weighting(one_record([LN_2] * 100, 0, key).packed(), state)
    weight_A, _ = weighting(one_record([LN_2] * 100, 0, "d").packed(), state)
    assert weight_A[74].item() == pytest.approx(0.5 * math.exp(-74 / 20), rel=1e-5)


def test_the_last_tokens_of_each_answer_are_left_out_when_asked_for() -> None:
    step = Step(["a", "b"], [[9.0] * 7, [9.0] * 6], [[True] * 7, [True] * 6])
    weight_A, _ = SlidingWindow(skip_last_tokens=5)(step.packed(), {})
    assert (weight_A > 0).tolist() == [True, True, *[False] * 5, True, *[False] * 5]


def test_an_error_in_a_token_left_out_is_no_anchor() -> None:
    _, state = SlidingWindow(skip_last_tokens=5)(one_record([9.0] * 7, 4).packed(), {})
    assert state["a"]["anchor"] == NO_ERROR


def test_an_answer_shorter_than_what_is_left_out_weighs_nothing() -> None:
    weight_A, _ = SlidingWindow(skip_last_tokens=5)(one_record([9.0, 9.0], 0).packed(), {})
    assert weight_A.tolist() == [0.0, 0.0]
