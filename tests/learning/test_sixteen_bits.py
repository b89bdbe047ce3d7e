"""In bf16 the fast path gives the slow oracle's loss and gradients within the dtype's noise.

What bf16 costs is how far the oracle itself, in bf16 and one record at a time, lies from the oracle in fp32 with the
same weights: 0.4 % of the answer tokens' losses, 2 to 6 % of a matrix's gradient here. The fast path rounds in other
places, and as often. Stated noise: it lies no farther from fp32 than 1.5 times as far as the slow path does, for the
losses and for each matrix.
"""

import copy

import pytest
import torch

from byheart.learning.activations import compute_activations
from byheart.learning.config import LearnConfig
from byheart.learning.step import Stepper
from byheart.memory.encode import encode
from byheart.memory.records import Memory
from byheart.method.weighting import Uniform
from byheart.model.split import SplitModel
from models_for_tests import awake, placed
from oracles import whole_model

NOISE = 1.5
"""Times the distance that the oracle in bf16 has from the one in fp32."""
LARGEST_SHARE = 0.08
"""Of a gradient's length, what that distance may be: more would be no noise, and nothing to be measured by."""


@pytest.fixture(scope="module")
def model(tiny_base):
    """The tiny model in bf16."""
    return copy.deepcopy(tiny_base.model).to(torch.bfloat16)


@pytest.fixture(scope="module")
def all_on(model) -> SplitModel:
    return SplitModel(model, cut=1, shares_prompt=True, skips_unread=True, picks_words=True)


@pytest.fixture
def adapter(model):
    return awake(placed(model, "top:1", rank=4))


@pytest.fixture
def stepper(all_on, adapter, tiny_encoded, tmp_path) -> Stepper:
    activations = compute_activations(
        all_on, tiny_encoded, torch.device("cpu"), memory_budget_bytes=2**30, directory=tmp_path
    )
    return Stepper(all_on, adapter, activations, Uniform(), LearnConfig())


def slow(model, adapter, encoded) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """The oracle's losses, and the gradients of their mean."""
    oracle = whole_model.with_lora(model, adapter)
    nll_A = torch.cat([whole_model.answer_nll(oracle, record) for record in encoded.records])
    nll_A.mean().backward()
    return nll_A.detach(), whole_model.gradients(oracle, adapter)


def test_activations_are_kept_in_the_models_dtype_and_weights_in_fp32(stepper):
    assert stepper.activations.hidden_PD.dtype == torch.bfloat16
    assert {parameter.dtype for parameter in stepper.parameters} == {torch.float32}


def test_losses_and_gradients_are_the_oracles_within_the_stated_noise(
    model, adapter, stepper, tiny_encoded, gradients_of
):
    exact_A, exact = slow(copy.deepcopy(model).float(), adapter, tiny_encoded)
    slow_A, slow_gradients = slow(model, adapter, tiny_encoded)
    fast_gradients = gradients_of(stepper, [0, 1, 2, 3])
    [outcome], _ = stepper.step([0, 1, 2, 3], 0.0, {}, 0)

    assert all(each.dtype == torch.float32 for each in (outcome.nll_A, *fast_gradients))
    got, theirs, expected = [outcome.nll_A, *fast_gradients], [slow_A, *slow_gradients], [exact_A, *exact]
    for mine, other, right in zip(got, theirs, expected, strict=True):
        noise = (other - right).norm()
        assert 0 < noise <= LARGEST_SHARE * right.norm()
        assert (mine - right).norm() <= NOISE * noise


class FirstTokens(Uniform):
    """The first tokens of three records count, no others."""

    def __call__(self, tokens, state):
        return ((tokens.position_A == 0) & (tokens.record_A < 3)).float(), state


LONG = [(f"Number {i}?", f"{'0123456789abcdef'[i::3]} " * 30) for i in range(8)]
SHORT = [(f"Number {i}?", f"{i:03}") for i in range(100)]


@pytest.mark.parametrize(
    ("pairs", "weighting"),
    [(LONG, Uniform()), (SHORT, Uniform()), (SHORT, FirstTokens())],
    ids=["long records", "many records", "few of many tokens"],
)
def test_in_fp16_no_token_of_a_large_batch_has_a_gradient_too_small_for_it(
    tiny_base, gradients_of, tmp_path, pairs, weighting
):
    adapter = awake(placed(tiny_base.model, "top:1", rank=4), size=0.0003)  # as B is early on
    encoded = encode(Memory.from_pairs(pairs), tiny_base.tokenizer)
    found = []
    for dtype in (torch.float32, torch.float16):
        parts = SplitModel(copy.deepcopy(tiny_base.model).to(dtype), cut=1, shares_prompt=True, skips_unread=True)
        cache = compute_activations(parts, encoded, torch.device("cpu"), memory_budget_bytes=2**30, directory=tmp_path)
        stepper = Stepper(parts, adapter, cache, weighting, LearnConfig(shortlist=False))
        found.append(gradients_of(stepper, range(len(pairs))))
    for exact, mine in zip(*found, strict=True):
        assert (mine - exact).norm() <= 0.015 * exact.norm()
