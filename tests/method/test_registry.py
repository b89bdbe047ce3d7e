"""What every method must hold to. A new method joins by its row in `METHODS` and in `ORACLES`."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any, get_args

import pytest
import torch

from byheart.errors import SettingsError
from byheart.method.active import ActiveSet
from byheart.method.curriculum import GrowingPrefix
from byheart.method.registry import METHODS, Method, MethodConfig, MethodName, build
from byheart.method.schedule import AllRecords, Standing
from byheart.method.threshold import Threshold
from byheart.method.weighting import Uniform, WeightingState, critical_nll_nats, objective
from byheart.method.window import SlidingWindow
from oracles import weightings as oracle
from oracles.batches import Step, by_record, random_run

EPOCHS, BATCH_SIZE = 30, 4
CRITICAL = critical_nll_nats(MethodConfig().margin)

Remembered = dict[str, oracle.WindowMemory]
ORACLES: dict[str, Callable[[Step, Remembered], list[list[float]]]] = {
    "sft": lambda step, _: oracle.sft(step.nll),
    "memft-ot": lambda step, _: oracle.memft_ot(step.nll, CRITICAL),
    "memft-sw": lambda step, remembered: oracle.memft_sw(
        step.nll, step.errors, step.ids, remembered, critical_nll=CRITICAL
    ),
    "memft-sw-curriculum": lambda step, _: oracle.memft_ot(step.nll, CRITICAL),
}

every_method = pytest.mark.parametrize("name", METHODS)


def built(name: MethodName, **settings: Any) -> Method:
    return build(MethodConfig.parse({"name": name, **settings}), EPOCHS, BATCH_SIZE)


def test_the_table_holds_exactly_the_names_that_settings_allow() -> None:
    assert set(METHODS) == set(get_args(MethodName))


def test_every_method_has_an_oracle() -> None:
    assert ORACLES.keys() == METHODS.keys()


@pytest.mark.parametrize(
    ("name", "weighting", "schedule"),
    [
        ("sft", Uniform, ActiveSet),
        ("memft-ot", Threshold, ActiveSet),
        ("memft-sw", SlidingWindow, ActiveSet),
        ("memft-sw-curriculum", Threshold, GrowingPrefix),
    ],
)
def test_a_name_builds_its_weighting_and_schedule(name: MethodName, weighting: type, schedule: type) -> None:
    method = built(name)
    assert (type(method.weighting), type(method.schedule)) == (weighting, schedule)


@pytest.mark.parametrize("name", ["sft", "memft-ot", "memft-sw"])
def test_records_rest_for_three_epochs_or_as_many_as_asked(name: MethodName) -> None:
    assert built(name).schedule == ActiveSet(MethodConfig().wanted_probability, 3)
    assert built(name, rest_epochs=5).schedule == ActiveSet(MethodConfig().wanted_probability, 5)


def test_what_is_wanted_is_a_third_of_the_margin_and_what_is_proved_a_sixth() -> None:
    config = MethodConfig(margin=0.3)
    assert (config.wanted_probability, config.proved_probability) == (pytest.approx(0.6), pytest.approx(0.55))


@every_method
def test_without_rest_the_schedule_is_the_papers(name: MethodName) -> None:
    schedule = built(name, rest_epochs=0).schedule
    assert type(schedule) is (GrowingPrefix if name == "memft-sw-curriculum" else AllRecords)


def test_rest_is_refused_where_the_curriculum_says_which_records_are_shown() -> None:
    with pytest.raises(SettingsError, match="a schedule of its own, under which no record rests"):
        built("memft-sw-curriculum", rest_epochs=3)


@every_method
def test_weights_are_finite_fp32_and_not_negative_one_for_each_token(name: MethodName) -> None:
    weighting = built(name).weighting
    state: WeightingState = {}
    for step in random_run(seed=1):
        tokens = step.packed()
        weight_A, state = weighting(tokens, state)
        assert weight_A.dtype == torch.float32
        assert weight_A.shape == tokens.nll_A.shape
        assert torch.isfinite(weight_A).all()
        assert (weight_A >= 0).all()


@every_method
@pytest.mark.parametrize("seed", range(5))
def test_weights_equal_the_oracle_over_many_steps(name: MethodName, seed: int) -> None:
    weighting = built(name).weighting
    state: WeightingState = {}
    remembered: Remembered = {}
    for step in random_run(seed):
        weight_A, state = weighting(step.packed(), state)
        expected = [one for row in ORACLES[name](step, remembered) for one in row]
        assert weight_A.tolist() == pytest.approx(expected, rel=1e-4, abs=1e-9)


@every_method
def test_weights_depend_on_a_record_and_not_on_its_place_or_company(name: MethodName) -> None:
    weighting = built(name).weighting
    state: WeightingState = {}
    other_state: WeightingState = {}
    for step in random_run(seed=2):
        weight_A, state = weighting(step.packed(), state)
        weights = by_record(weight_A, step)
        for i in reversed(range(len(step.ids))):
            single = step.arranged([i])
            single_A, other_state = weighting(single.packed(), other_state)
            assert by_record(single_A, single)[step.ids[i]] == pytest.approx(weights[step.ids[i]], rel=1e-6)
    assert state == other_state


@every_method
def test_the_state_of_records_outside_the_batch_is_carried_over(name: MethodName) -> None:
    bystander = {"anchor": 4.0, "steps": 2.0, "expansion": 1.0}
    _, state = built(name).weighting(random_run(seed=3)[0].packed(), {"bystander": bystander})
    assert state["bystander"] == bystander


@every_method
def test_the_state_goes_through_json_unchanged(name: MethodName) -> None:
    weighting = built(name).weighting
    state: WeightingState = {}
    for step in random_run(seed=4):
        _, state = weighting(step.packed(), state)
    assert json.loads(json.dumps(state)) == state


@every_method
def test_no_gradient_flows_through_the_weights(name: MethodName) -> None:
    weighting = built(name).weighting
    tokens = random_run(seed=5)[0].packed()
    nll_A = tokens.nll_A.clone().requires_grad_()
    weight_A, _ = weighting(replace(tokens, nll_A=nll_A), {})
    objective(nll_A, weight_A, weighting.epsilon).backward()
    weight_A = weight_A.detach()
    assert nll_A.grad is not None
    torch.testing.assert_close(nll_A.grad, weight_A / (weight_A.sum() + weighting.epsilon))


@every_method
def test_a_schedule_names_distinct_records_at_least_one_and_all_in_the_end(name: MethodName) -> None:
    schedule = built(name).schedule
    for epoch in range(EPOCHS):
        index_S = schedule(epoch, Standing.unseen(10), seed=42)
        assert index_S.dtype == torch.int64
        assert 1 <= len(index_S) == len(set(index_S.tolist())) <= 10
    assert len(schedule(EPOCHS - 1, Standing.unseen(10), seed=42)) == 10


@every_method
@pytest.mark.parametrize("epochs", [1, 2, 5, 1000])
def test_a_run_of_any_length_ends_with_all_records(name: MethodName, epochs: int) -> None:
    schedule = build(MethodConfig(name=name), epochs, BATCH_SIZE).schedule
    assert len(schedule(epochs - 1, Standing.unseen(10), seed=42)) == 10


def test_the_papers_stages_are_scaled_to_the_run() -> None:
    schedule = build(MethodConfig(name="memft-sw-curriculum"), epochs=300, batch_size=10).schedule
    assert schedule == GrowingPrefix((20, 40, 60, 80, 300), 10)


def test_boundaries_given_are_taken_as_they_are() -> None:
    schedule = built("memft-sw-curriculum", curriculum={"boundaries": [1, 2, 3, 4, 5]}).schedule
    assert schedule == GrowingPrefix((1, 2, 3, 4, 5), BATCH_SIZE)


def test_the_margin_moves_the_threshold() -> None:
    assert built("memft-ot", margin=0.2).weighting == Threshold(critical_nll_nats(0.2))


def test_settings_of_the_window_reach_it() -> None:
    settings = {
        "sharpness": 1.0,
        "decay_tokens": 2.0,
        "window_tokens": 3.0,
        "floor": 0.4,
        "patience": 5,
        "growth": 0.6,
        "max_expansion": 7.0,
    }
    compat = {"window_state_by_slot": True, "window_skip_last_tokens": 8}
    assert built("memft-sw", margin=0.0, epsilon=0.5, window=settings, compat=compat).weighting == SlidingWindow(
        epsilon=0.5, state_by_slot=True, skip_last_tokens=8, **settings
    )


def test_the_quirks_of_the_scripts_are_off_by_default() -> None:
    compat = MethodConfig().compat
    assert not compat.sft_when_none_active
    assert not compat.window_state_by_slot
    assert compat.window_skip_last_tokens == 0


def test_the_scripts_fallback_can_be_asked_for() -> None:
    weighting = built("memft-ot", compat={"sft_when_none_active": True}).weighting
    assert weighting == Threshold(CRITICAL, sft_when_none_active=True)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"margins": 0.1}, r"'margins' \(did you mean 'margin'\?\)"),
        ({"window": {"sharpnes": 5}}, r"'window\.sharpnes' \(did you mean 'window\.sharpness'\?\)"),
        ({"compat": {"state_by_slot": True}}, r"did you mean 'compat\.window_state_by_slot'\?"),
        ({"name": "memft-to"}, "memft-to"),
        ({"margin": 0.5}, r"margin: .*0\.5"),
        ({"window": {"patience": 0}}, r"window\.patience: .*got 0"),
        ({"rest_epochs": -1}, "rest_epochs: .*got -1"),
        ({"epsilon": float("nan")}, "epsilon: .*nan"),
        ({"window": {"sharpness": float("inf")}}, r"window\.sharpness: .*inf"),
    ],
)
def test_a_setting_that_is_unknown_or_out_of_range_is_refused_by_name(values: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        MethodConfig.parse(values)


def test_a_curriculum_that_never_shows_all_records_is_refused() -> None:
    with pytest.raises(SettingsError, match="all records"):
        built("memft-sw-curriculum", curriculum={"ratios": [0.5, 0.9], "boundaries": [3, 6]})


def test_the_curriculum_never_falls_back_to_sft() -> None:
    compat = {"sft_when_none_active": True}
    assert built("memft-ot", compat=compat).weighting.sft_when_none_active  # type: ignore[attr-defined]
    assert built("memft-sw-curriculum", compat=compat).weighting == built("memft-sw-curriculum").weighting


def test_a_curriculum_whose_budget_ends_before_it_shows_all_records_is_refused() -> None:
    config = MethodConfig.parse({"name": "memft-sw-curriculum", "curriculum": {"boundaries": [10, 20, 30, 40, 100]}})
    with pytest.raises(SettingsError, match="all records from epoch 41 on, and the budget is 40 epochs"):
        build(config, epochs=40, batch_size=10)
    assert build(config, epochs=41, batch_size=10)


@pytest.mark.parametrize(
    ("name", "quirk", "needs"),
    [
        ("sft", "sft_when_none_active", False),
        ("memft-ot", "sft_when_none_active", True),
        ("memft-ot", "window_state_by_slot", False),
        ("memft-sw", "sft_when_none_active", False),
        ("memft-sw", "window_state_by_slot", True),
        ("memft-sw-curriculum", "sft_when_none_active", False),
    ],
)
def test_a_quirk_keeps_batches_whole_only_under_the_method_that_has_it(name: str, quirk: str, needs: bool) -> None:
    assert MethodConfig.parse({"name": name, "compat": {quirk: True}}).needs_whole_batch is needs
