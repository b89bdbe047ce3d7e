import contextlib
import copy
import warnings

import pytest
import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.models.llama.modeling_llama import LlamaModel

from byheart.errors import ModelError
from byheart.memory.records import Memory
from byheart.model import split as split_module
from byheart.model.adapter import attached
from byheart.model.shared_prompt import Rows
from byheart.model.split import SplitModel, UncutModelWarning, split
from byheart.pipeline import learn
from models_for_tests import (
    FAMILIES,
    NUM_LAYERS,
    all_close,
    awake,
    close,
    granite,
    placed,
    random_tokens,
    small,
    talking,
)
from oracles import whole_model


class ScalingModel(LlamaModel):
    """A decoder that does something of its own to what it is given as embeddings."""

    def forward(self, input_ids=None, inputs_embeds=None, **kwargs):  # type: ignore[override]
        embeds = self.embed_tokens(input_ids) if inputs_embeds is None else inputs_embeds
        return super().forward(inputs_embeds=embeds * 1.5, **kwargs)


class CountingModel(LlamaModel):
    """A decoder with a table of its own, one row for each layer, read by place in the list."""

    def __init__(self, config):
        super().__init__(config)
        self.table = nn.Parameter(torch.randn(config.num_hidden_layers, config.hidden_size))

    def forward(self, **kwargs):  # type: ignore[override]
        handles = [
            layer.register_forward_pre_hook(lambda _, args, row=row: (args[0] + row, *args[1:]))
            for layer, row in zip(self.layers, self.table, strict=False)
        ]
        try:
            return super().forward(**kwargs)
        finally:
            for handle in handles:
                handle.remove()


class ShoutingModel(LlamaForCausalLM):
    """Logits that are not the output embedding of the last hidden state."""

    def forward(self, input_ids=None, **kwargs):  # type: ignore[override]
        hidden = self.model(input_ids=input_ids, use_cache=False).last_hidden_state
        return super().forward(inputs_embeds=hidden, **kwargs)


def with_decoder(decoder_class, **changed):
    torch.manual_seed(0)
    sizes = {"vocab_size": 97, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3}
    sizes |= {"num_attention_heads": 4, "initializer_range": 0.2, "max_position_embeddings": 128}
    model = LlamaForCausalLM(LlamaConfig(**{**sizes, **changed}))
    decoder = decoder_class(model.config)
    decoder.load_state_dict(model.model.state_dict(), strict=False)
    model.model = decoder
    return model.eval().requires_grad_(False)


UNCUTTABLE = {
    "granite": granite,
    "scaled embeddings": lambda **changed: with_decoder(ScalingModel, **changed),
    "table by layer": lambda **changed: with_decoder(CountingModel, **changed),
}


@pytest.fixture(params=FAMILIES, scope="module")
def model(request):
    return small(request.param)


@pytest.mark.parametrize("cut", range(NUM_LAYERS))
def test_parts_give_the_whole_models_logits(model, cut):
    tokens_BT = random_tokens(3, 21)
    parts = SplitModel(model, cut)
    with torch.no_grad():
        expected_BTV = model(input_ids=tokens_BT, use_cache=False).logits
        logits_AV = parts.head(parts.suffix(parts.prefix(tokens_BT)))
    assert close(logits_AV, expected_BTV.flatten(0, 1))


def test_an_adapters_gradients_through_the_cut_equal_the_uncut_ones(model):
    adapter = awake(placed(model, layers="top:2"))
    tokens_BT = random_tokens(3, 21)
    towards_AV = torch.randn(3 * 21, 97, generator=torch.Generator().manual_seed(5))
    parts = SplitModel(model, cut=2)
    with attached(model, adapter):
        (parts.head(parts.suffix(parts.prefix(tokens_BT))) * towards_AV).sum().backward()
    oracle = whole_model.with_lora(model, adapter)
    (oracle(input_ids=tokens_BT, use_cache=False).logits.flatten(0, 1) * towards_AV).sum().backward()
    got = [parameter.grad for parameter in adapter.parameters()]
    assert all_close(got, whole_model.gradients(oracle, adapter))  # type: ignore[arg-type]


def test_the_window_of_the_sliding_layers_shows_in_the_tests_own_texts():
    wide, narrow = small("gemma3", sliding_window=64), small("gemma3")
    tokens_BT = random_tokens(1, 21)
    with torch.no_grad():
        logits = [each(input_ids=tokens_BT, use_cache=False).logits for each in (wide, narrow)]
    assert not close(logits[0], logits[1], relative=1e-2)


def test_model_and_config_are_as_found_afterwards(model):
    decoder = model.get_decoder()
    layers, modules = list(decoder.layers), [name for name, _ in model.named_modules()]
    config = copy.deepcopy(model.config.to_dict())
    parts = split(model, 2)
    with torch.no_grad():
        parts.head(parts.suffix(parts.prefix(random_tokens(2, 9))))
    assert list(decoder.layers) == layers
    assert [name for name, _ in model.named_modules()] == modules
    assert model.config.to_dict() == config
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize("part", ["prefix", "suffix", "head"])
def test_model_and_config_are_as_found_after_an_exception_inside(part):
    model = small("gemma3")
    layers, config = list(model.model.layers), copy.deepcopy(model.config.to_dict())
    parts = SplitModel(model, 2)
    wrong_shape = torch.zeros(1, 3, 7) if part == "suffix" else torch.zeros(2, 7)
    given = torch.full((1, 3), 10**6) if part == "prefix" else Rows(wrong_shape) if part == "suffix" else wrong_shape
    with pytest.raises((RuntimeError, IndexError)):
        getattr(parts, part)(given)
    assert list(model.model.layers) == layers
    assert model.config.to_dict() == config
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def layers_run(model, call):
    seen = []
    handles = [
        layer.register_forward_hook(lambda *_, index=index: seen.append(index))
        for index, layer in enumerate(model.model.layers)
    ]
    call()
    for handle in handles:
        handle.remove()
    return seen


def test_each_part_runs_its_own_layers_only():
    model = small("llama")
    parts = SplitModel(model, 3)
    tokens_BT = random_tokens(1, 5)
    hidden = parts.prefix(tokens_BT)
    assert layers_run(model, lambda: parts.prefix(tokens_BT)) == [0, 1, 2]
    assert layers_run(model, lambda: parts.suffix(hidden)) == [3]
    assert layers_run(model, lambda: parts.head(hidden.own[0])) == []


def test_the_prefix_carries_no_gradient():
    model = small("llama").requires_grad_(True)
    assert not SplitModel(model, 2).prefix(random_tokens(1, 5)).own.requires_grad


def test_every_family_passes_the_check_on_loading(model):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert split(model, 1) == SplitModel(model, 1, shares_prompt=True, skips_unread=True, picks_words=True)


@pytest.mark.parametrize("name", UNCUTTABLE)
def test_a_model_that_cannot_be_cut_runs_uncut_and_says_so(name):
    model = UNCUTTABLE[name]()
    with pytest.warns(UncutModelWarning, match=r"all its \d layers run in every step"):
        assert split(model, 2).cut is None


def test_nothing_is_said_where_nothing_lies_below_the_adapter():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert split(granite(), 0).cut is None


def test_a_model_that_cannot_be_cut_has_the_whole_models_logits_all_the_same():
    model = granite()
    tokens_BT = random_tokens(2, 9)
    parts = SplitModel(model, None)
    with torch.no_grad():
        expected_BTV = model(input_ids=tokens_BT, use_cache=False).logits
        logits_AV = parts.head(parts.suffix(parts.prefix(tokens_BT)))
    assert close(logits_AV, expected_BTV.flatten(0, 1))


@pytest.mark.parametrize("name", UNCUTTABLE)
def test_a_model_that_cannot_be_cut_learns_to_the_letter(name):
    memory = Memory.from_pairs([("Key?", "4711"), ("Who?", " Zoë")])
    with pytest.warns(UncutModelWarning):
        bundle = learn(memory, talking(UNCUTTABLE[name]), layers="top:1", lora_rank=16)
    assert bundle.certificate.num("certified") == len(memory)


def test_a_model_whose_logits_are_not_of_its_last_hidden_state_is_refused():
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=97, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4
    )
    config.initializer_range = 0.2
    model = ShoutingModel(config).eval()
    with pytest.raises(ModelError, match="cannot be learnt with"):
        split(model, 1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("window", [8, 500])
def test_a_mask_of_the_wrong_kind_of_layer_shows_whatever_the_window(monkeypatch, window, dtype):
    model = small("gemma3", sliding_window=window, max_position_embeddings=1024).to(dtype)
    config = copy.deepcopy(model.config.to_dict())
    assert split(model, 1).cut == 1
    assert model.config.to_dict() == config

    @contextlib.contextmanager
    def with_the_first_layers_types(model, kept):
        with only_layers(model, kept):
            model.config.layer_types = ["sliding_attention", "full_attention"] * 2
            for layer in model.model.layers:
                monkeypatch.setattr(layer, "attention_type", "full_attention", raising=False)
                monkeypatch.setattr(layer.self_attn, "layer_type", "full_attention", raising=False)
            yield

    only_layers = split_module._only_layers
    monkeypatch.setattr(split_module, "_only_layers", with_the_first_layers_types)
    with pytest.warns(UncutModelWarning):
        assert split(model, 1).cut is None


@pytest.mark.parametrize("cut", range(NUM_LAYERS))
def test_every_family_passes_the_check_in_bfloat16(model, cut):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert split(copy.deepcopy(model).to(torch.bfloat16), cut).cut == cut
