import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from byheart.method.weighting import CERTIFIED_PROBABILITY, Uniform, critical_nll_nats, objective
from oracles import weightings as oracle
from oracles.batches import Step, random_run

NLL = st.floats(0, 20, width=32)
NLL_AND_WEIGHT = st.lists(st.tuples(NLL, st.floats(0, 1, width=32)), min_size=1, max_size=40)


def test_objective_of_the_papers_worked_example() -> None:
    nll = [0.1, 0.8, 0.5, 1.2]
    weights = oracle.memft_ot([nll], critical_nll=0.6)[0]
    assert oracle.objective(nll, weights, 0.01) == pytest.approx(2.0 / 2.01)
    assert objective(torch.tensor(nll), torch.tensor(weights), 0.01).item() == pytest.approx(0.995, abs=1e-4)


@given(NLL_AND_WEIGHT, st.sampled_from([0.0, 0.01, 1.0]))
def test_objective_equals_the_oracle(tokens: list[tuple[float, float]], epsilon: float) -> None:
    nll, weights = [list(column) for column in zip(*tokens, strict=True)]
    expected = oracle.objective(nll, weights, epsilon)
    value = objective(torch.tensor(nll), torch.tensor(weights), epsilon)
    assert value.item() == pytest.approx(expected, rel=1e-4, abs=1e-6)


@given(st.lists(NLL, min_size=1, max_size=40), st.sampled_from([0.0, 0.01]))
def test_objective_is_exactly_zero_without_gradient_where_no_token_counts(nll: list[float], epsilon: float) -> None:
    nll_A = torch.tensor(nll, requires_grad=True)
    value = objective(nll_A, torch.zeros(len(nll)), epsilon)
    value.backward()
    assert value.item() == 0.0
    assert nll_A.grad is not None
    assert torch.equal(nll_A.grad, torch.zeros(len(nll)))


def test_objective_of_no_tokens_at_all_is_zero() -> None:
    assert objective(torch.zeros(0), torch.zeros(0), 0.0).item() == 0.0


@given(NLL_AND_WEIGHT)
def test_gradient_of_the_objective_is_each_tokens_share_of_the_weight(tokens: list[tuple[float, float]]) -> None:
    nll, weights = [list(column) for column in zip(*tokens, strict=True)]
    nll_A = torch.tensor(nll, requires_grad=True)
    objective(nll_A, torch.tensor(weights), 0.01).backward()
    assert nll_A.grad is not None
    assert nll_A.grad.tolist() == pytest.approx([one / (sum(weights) + 0.01) for one in weights], rel=1e-4, abs=1e-7)


def test_no_gradient_flows_through_weights_that_were_computed_with_one() -> None:
    nll_A = torch.tensor([0.2, 1.5, 3.0], requires_grad=True)
    weight_A = torch.sigmoid(nll_A)
    objective(nll_A, weight_A, 0.01).backward()
    assert nll_A.grad is not None
    torch.testing.assert_close(nll_A.grad, (weight_A / (weight_A.sum() + 0.01)).detach())


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=25)
def test_sft_objective_is_the_mean_loss(seed: int) -> None:
    tokens = random_run(seed, num_steps=1)[0].packed()
    weighting = Uniform()
    weight_A, _ = weighting(tokens, {})
    value = objective(tokens.nll_A, weight_A, weighting.epsilon)
    assert value.item() == pytest.approx(tokens.nll_A.mean().item(), rel=1e-5)


def test_sft_weighs_every_token_one_and_remembers_nothing() -> None:
    step = Step(["a", "b"], [[0.0, 9.0], [1.0]], [[False, True], [True]])
    weight_A, state = Uniform()(step.packed(), {})
    assert weight_A.tolist() == [one for row in oracle.sft(step.nll) for one in row]
    assert state == {}


def test_the_critical_loss_is_ln_2_without_a_margin() -> None:
    assert critical_nll_nats() == pytest.approx(math.log(2))


@given(st.floats(0, 0.49))
def test_a_token_at_the_critical_loss_has_the_certified_probability_and_the_margin(margin: float) -> None:
    assert math.exp(-critical_nll_nats(margin)) == pytest.approx(CERTIFIED_PROBABILITY + margin)
