"""Rows behind a shared part, held against the same rows run alone, each whole."""

# ruff: noqa: N802 - a fixture named as the tensor it gives

import copy
from contextlib import nullcontext

import pytest
import torch

from byheart.model import shared_prompt
from byheart.model.adapter import attached
from byheart.model.shared_prompt import Rows, as_if_long, causal_mask
from byheart.model.split import SplitModel, split
from models_for_tests import FAMILIES, all_close, awake, close, placed, random_tokens, small
from oracles import whole_model

NUM_SHARED = 7
EVERYTHING = {"shares_prompt": True, "skips_unread": True, "picks_words": True}


@pytest.fixture(params=FAMILIES, scope="module")
def model(request):
    return small(request.param)


def rows_of(tokens_BT: torch.Tensor) -> Rows:
    return Rows(tokens_BT[:, NUM_SHARED:], tokens_BT[0, :NUM_SHARED])


@pytest.fixture
def tokens_BT() -> torch.Tensor:
    """Three rows that begin alike; longer than the windows of the models that have one."""
    tokens_BT = random_tokens(3, 21)
    tokens_BT[:, :NUM_SHARED] = tokens_BT[0, :NUM_SHARED].clone()
    return tokens_BT


@pytest.fixture(params=[nullcontext, as_if_long], ids=["as short", "as long"])
def attention(request):
    """Rows attend by plain products, as short ones do, or as long ones and a GPU's do."""
    with request.param():
        yield


@pytest.mark.parametrize("cut", [None, 0, 2])
@pytest.mark.usefixtures("attention")
def test_logits_are_those_of_each_row_alone(model, tokens_BT, cut):
    parts = SplitModel(model, cut, **EVERYTHING)
    reading_BT = torch.rand(3, 21 - NUM_SHARED, generator=torch.Generator().manual_seed(3)) < 0.5
    with torch.no_grad():
        expected_BTV = model(input_ids=tokens_BT, use_cache=False).logits
        logits_AV = parts.head(parts.suffix(parts.prefix(rows_of(tokens_BT)), reading_BT.flatten().nonzero()[:, 0]))
    assert close(logits_AV, expected_BTV[:, NUM_SHARED:][reading_BT])


@pytest.mark.usefixtures("attention")
def test_gradients_are_those_of_each_row_alone(model, tokens_BT):
    adapter = awake(placed(model, layers="top:2"))
    reading_BT = torch.rand(3, 21 - NUM_SHARED, generator=torch.Generator().manual_seed(3)) < 0.5
    towards_AV = torch.randn(int(reading_BT.sum()), 97, generator=torch.Generator().manual_seed(5))
    parts = SplitModel(model, 2, **EVERYTHING)
    with attached(model, adapter):
        (
            parts.head(parts.suffix(parts.prefix(rows_of(tokens_BT)), reading_BT.flatten().nonzero()[:, 0]))
            * towards_AV
        ).sum().backward()
    oracle = whole_model.with_lora(model, adapter)
    logits_BTV = oracle(input_ids=tokens_BT, use_cache=False).logits
    (logits_BTV[:, NUM_SHARED:][reading_BT] * towards_AV).sum().backward()
    got = [parameter.grad for parameter in adapter.parameters()]
    assert all_close(got, whole_model.gradients(oracle, adapter))  # type: ignore[arg-type]


def test_no_row_sees_another(tokens_BT):
    parts = SplitModel(small("llama"), 2, **EVERYTHING)
    other_BT = tokens_BT.clone()
    other_BT[1:, NUM_SHARED:] = random_tokens(2, 21 - NUM_SHARED).flip(1)
    with torch.no_grad():
        first, other = (parts.suffix(parts.prefix(rows_of(each)))[: 21 - NUM_SHARED] for each in (tokens_BT, other_BT))
    assert close(first, other)


def test_some_words_have_the_logits_they_have_among_all(model, tokens_BT):
    parts = SplitModel(model, 2, **EVERYTHING)
    word_K = torch.tensor([5, 96, 0, 41])
    with torch.no_grad():
        final_AD = parts.suffix(parts.prefix(tokens_BT))
        assert close(parts.head(final_AD, word_K), parts.head(final_AD)[:, word_K])


def test_the_models_attention_is_its_own_again_afterwards(tokens_BT):
    model = small("gemma3")
    config = copy.deepcopy(model.config.to_dict())
    parts = SplitModel(model, 2, **EVERYTHING)
    parts.prefix(rows_of(tokens_BT))
    with pytest.raises((RuntimeError, IndexError)):
        parts.prefix(Rows(torch.full((1, 3), 10**6), tokens_BT[0, :2]))
    assert model.config.to_dict() == config
    assert model.config._attn_implementation == small("gemma3").config._attn_implementation


def test_a_model_whose_mlp_looks_at_other_positions_reads_all_of_it(monkeypatch):
    model = small("llama")
    monkeypatch.setattr(model.model.layers[-1].mlp, "forward", lambda hidden: hidden.cumsum(1))
    parts = split(model, 2)
    assert (parts.cut, parts.shares_prompt, parts.skips_unread) == (2, False, False)


def test_a_model_with_attention_of_its_own_runs_each_row_whole(monkeypatch):
    model = small("llama")
    attention = model.model.layers[-1].self_attn
    forward = attention.forward
    monkeypatch.setattr(
        attention, "forward", lambda hidden_states, **named: (forward(hidden_states, **named)[0].cumsum(1), None)
    )
    parts = split(model, 2)
    assert (parts.cut, parts.shares_prompt, parts.picks_words) == (2, False, True)


def test_the_check_on_loading_tries_the_attention_of_long_rows_too(monkeypatch):
    implementation = shared_prompt._implementation

    def wrong_where_fused(*which):
        attend = implementation(*which)
        if attend.__name__ != "sdpa_attention_forward":
            return attend
        return lambda *states, **options: (attend(*states, **options)[0].flip(1), None)

    assert split(small("llama"), 1).shares_prompt
    monkeypatch.setattr(shared_prompt, "_implementation", wrong_where_fused)
    assert not split(small("llama"), 1).shares_prompt


def test_masks_look_back_no_further_than_the_window():
    visible = causal_mask(3, 5, 2, torch.zeros(1)) == 0
    assert visible[0, 0].tolist() == [
        [False, True, True, False, False],
        [False, False, True, True, False],
        [False, False, False, True, True],
    ]


def test_without_a_window_a_mask_is_causal_to_the_last_key():
    visible = causal_mask(2, 4, None, torch.zeros(1)) == 0
    assert visible[0, 0].tolist() == [[True, True, True, False], [True, True, True, True]]
