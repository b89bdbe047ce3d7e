import math

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from byheart.method.threshold import Threshold
from byheart.method.weighting import critical_nll_nats, objective
from oracles import weightings as oracle
from oracles.batches import Step, one_record, random_run

NLLS = st.lists(st.one_of(st.floats(0, 20, width=32), st.floats(0.6875, 0.75, width=32)), min_size=1, max_size=40)


@given(st.integers(0, 2**32 - 1), st.booleans())
@settings(max_examples=40)
def test_weights_equal_the_oracle(seed: int, sft_when_none_active: bool) -> None:
    weighting = Threshold(sft_when_none_active=sft_when_none_active)
    for step in random_run(seed, num_steps=5, longest=20):
        weight_A, _ = weighting(step.packed(), {})
        expected = oracle.memft_ot(step.nll, sft_fallback=sft_when_none_active)
        assert weight_A.tolist() == [one for row in expected for one in row]


@given(NLLS, st.sampled_from([0.0, 0.1, 0.3]))
def test_a_token_past_the_threshold_weighs_nothing_and_gets_no_gradient(nll: list[float], margin: float) -> None:
    weighting = Threshold(critical_nll_nats(margin))
    nll_A = torch.tensor(nll, requires_grad=True)
    weight_A, _ = weighting(one_record(nll).packed(), {})
    objective(nll_A, weight_A, weighting.epsilon).backward()
    assert nll_A.grad is not None
    for one_nll, weight, gradient in zip(nll, weight_A.tolist(), nll_A.grad.tolist(), strict=True):
        probability = math.exp(-one_nll)
        assume(abs(probability - 0.5 - margin) > 1e-7)
        if probability > 0.5 + margin:
            assert (weight, gradient) == (0.0, 0.0)
        else:
            assert weight == 1.0
            assert gradient > 0


def test_the_threshold_is_sharp_at_one_half() -> None:
    just_certified = float(torch.nextafter(torch.tensor(0.5), torch.tensor(1.0)))
    just_not = float(torch.nextafter(torch.tensor(0.5), torch.tensor(0.0)))
    nll = [-math.log(just_certified), -math.log(just_not)]
    weight_A, _ = Threshold()(one_record(nll).packed(), {})
    assert weight_A.tolist() == [0.0, 1.0]


def test_a_tie_of_two_tokens_is_not_certified() -> None:
    nll = torch.nn.functional.cross_entropy(torch.zeros(1, 2), torch.tensor([0])).item()
    weight_A, _ = Threshold()(one_record([nll]).packed(), {})
    assert weight_A.tolist() == [1.0]


def test_a_batch_with_everything_certified_has_no_objective() -> None:
    weighting = Threshold()
    step = one_record([0.1, 0.69, 0.0])
    weight_A, _ = weighting(step.packed(), {})
    assert objective(step.packed().nll_A, weight_A, weighting.epsilon).item() == 0.0


def test_the_scripts_fallback_trains_a_certified_batch_as_sft_does() -> None:
    step = one_record([0.1, 0.69, 0.0])
    weight_A, _ = Threshold(sft_when_none_active=True)(step.packed(), {})
    assert weight_A.tolist() == [1.0, 1.0, 1.0]


def test_the_scripts_fallback_looks_at_the_batch_and_not_at_each_record() -> None:
    step = Step(["done", "open"], [[0.1, 0.2], [0.1, 5.0]], [[False, False], [False, True]])
    weight_A, _ = Threshold(sft_when_none_active=True)(step.packed(), {})
    assert weight_A.tolist() == [0.0, 0.0, 0.0, 1.0]


@pytest.mark.parametrize("state", [{}, {"a": {"anchor": 3.0}}])
def test_the_state_of_others_is_handed_on(state: dict[str, dict[str, float]]) -> None:
    _, after = Threshold()(one_record([1.0]).packed(), state)
    assert after == state
