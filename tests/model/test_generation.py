import pytest
import torch
from transformers import GenerationConfig

from byheart.model.generation import generate_greedily
from models_for_tests import random_tokens, small
from oracles import whole_model


@pytest.fixture
def model():
    return small("llama", eos_token_id=None)


def generated(model, prompt_BT, **arguments):
    settings = {"max_new_tokens": 12, "stop_id": None, "pad_id": 0, **arguments}
    return generate_greedily(model, prompt_BT, torch.ones_like(prompt_BT), **settings)


def test_a_cached_run_is_the_uncached_one(model):
    prompt_BT = random_tokens(1, 6)
    assert generated(model, prompt_BT) == [whole_model.greedy(model, prompt_BT[0].tolist(), 12, None)]


@pytest.mark.parametrize(
    "own",
    [
        {"repetition_penalty": 5.0},
        {"do_sample": True, "temperature": 9.0},
        {"no_repeat_ngram_size": 1},
        {"suppress_tokens": list(range(90))},
        {"forced_eos_token_id": 5},
        {"eos_token_id": list(range(97))},
        {"num_beams": 3},
        {"max_length": 7},
        {"min_new_tokens": 3},
    ],
    ids=str,
)
def test_the_models_own_defaults_have_no_effect(model, own):
    prompt_BT = random_tokens(1, 6)
    plain = generated(model, prompt_BT)
    model.generation_config = GenerationConfig(**own)
    assert generated(model, prompt_BT) == plain


def test_the_models_own_defaults_are_there_afterwards(model):
    own = model.generation_config = GenerationConfig(repetition_penalty=5.0)
    generated(model, random_tokens(1, 6))
    assert model.generation_config is own
    with pytest.raises((RuntimeError, IndexError)):
        generated(model, torch.full((1, 3), 10**6))
    assert model.generation_config is own


def test_the_stop_token_ends_a_row_and_pads_follow(model):
    prompt_BT = random_tokens(2, 6)
    free = generated(model, prompt_BT)
    stop_id = free[0][4]
    stopped = generated(model, prompt_BT, stop_id=stop_id, pad_id=96)
    at = free[0].index(stop_id)
    assert stopped[0][: at + 1] == free[0][: at + 1]
    assert set(stopped[0][at + 1 :]) <= {96}


def test_the_head_is_given_its_positions_in_one_piece(model, monkeypatch):
    pieces = []
    forward = model.lm_head.forward
    monkeypatch.setattr(
        model.lm_head, "forward", lambda hidden: pieces.append(hidden.is_contiguous()) or forward(hidden)
    )
    generated(model, random_tokens(3, 6))
    assert all(pieces) and len(pieces) == 12
    assert not model.lm_head._forward_pre_hooks
