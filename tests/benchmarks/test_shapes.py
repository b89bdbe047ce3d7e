# pyright: reportMissingImports=false
import pytest
import torch
from peers.shapes import SHAPES, Shape, random_base

from tokenizers_for_tests import chat_tokenizer

SMALL = Shape(3, 32, 48, 4, 2, 8, 512)


def drawn(seed: int):
    torch.manual_seed(seed)
    return random_base("small", SMALL, chat_tokenizer(), "cpu")


def test_the_large_shape_has_as_many_weights_as_qwen3_8b():
    shape = SHAPES["qwen3-8b"]
    in_products = shape.num_layers * shape.layer_weights + 2 * shape.head_weights
    assert 8.18e9 < in_products < 8.2e9  # 8.19 billion, of which 6.95 in the layers


def test_the_paper_adapts_layer_24_of_it():
    assert SHAPES["qwen3-8b"].layer == 24


def test_a_model_has_the_weights_that_its_shape_says():
    model = drawn(0).model
    counted = sum(weight.numel() for weight in model.parameters() if weight.dim() == 2)
    assert counted == SMALL.num_layers * SMALL.layer_weights + 2 * SMALL.head_weights
    assert model.get_submodule("model.layers.0.mlp.down_proj").weight.numel() == SMALL.down_weights
    assert model.get_submodule("model.layers.0.self_attn.o_proj").weight.numel() == SMALL.output_weights


def test_it_is_frozen_and_in_bf16():
    base = drawn(0)
    assert base.dtype == torch.bfloat16
    assert not any(weight.requires_grad for weight in base.model.parameters())


def test_the_same_seed_draws_the_same_model():
    first, again, other = (drawn(seed).model.lm_head.weight for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_vocabulary_too_small_for_the_tokenizer_is_refused():
    with pytest.raises(ValueError, match="only 100"):
        random_base("small", Shape(3, 32, 48, 4, 2, 8, 100), chat_tokenizer(), "cpu")
