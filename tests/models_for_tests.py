"""Small random models of the families that byheart is held against: four layers, windows shorter than the texts."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from transformers import (
    DeepseekV3Config,
    DeepseekV3ForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    GraniteConfig,
    GraniteForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    MixtralConfig,
    MixtralForCausalLM,
    Olmo2Config,
    Olmo2ForCausalLM,
    OlmoeConfig,
    OlmoeForCausalLM,
    Phi3Config,
    Phi3ForCausalLM,
    PhimoeConfig,
    PhimoeForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen2MoeConfig,
    Qwen2MoeForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3MoeConfig,
    Qwen3MoeForCausalLM,
    SmolLM3Config,
    SmolLM3ForCausalLM,
)

from byheart.model.adapter import Adapter
from byheart.model.base import Base, freeze
from byheart.model.catalog import Source
from byheart.model.config import PlacementConfig
from byheart.model.placement import Placement, resolve
from tokenizers_for_tests import chat_tokenizer

NUM_LAYERS = 4
WINDOW = 4

_SIZES: dict[str, Any] = {
    "vocab_size": 97,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": NUM_LAYERS,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "initializer_range": 0.2,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_ALTERNATING = ["sliding_attention", "full_attention"] * (NUM_LAYERS // 2)
_SLIDING_THEN_FULL = ["full_attention"] * 2 + ["sliding_attention"] * 2

FAMILIES: dict[str, tuple[type, type, dict[str, Any]]] = {
    "llama": (LlamaConfig, LlamaForCausalLM, {}),
    "qwen2": (
        Qwen2Config,
        Qwen2ForCausalLM,
        {"use_sliding_window": True, "sliding_window": WINDOW, "layer_types": _SLIDING_THEN_FULL},
    ),
    "qwen3": (Qwen3Config, Qwen3ForCausalLM, {"head_dim": 8}),
    "mistral": (MistralConfig, MistralForCausalLM, {"sliding_window": WINDOW}),
    "gemma2": (
        Gemma2Config,
        Gemma2ForCausalLM,
        {"head_dim": 8, "sliding_window": WINDOW, "layer_types": _ALTERNATING, "final_logit_softcapping": 3.0},
    ),
    "gemma3": (
        Gemma3TextConfig,
        Gemma3ForCausalLM,
        {"head_dim": 8, "sliding_window": WINDOW, "layer_types": _ALTERNATING},
    ),
    "phi3": (Phi3Config, Phi3ForCausalLM, {}),
    "olmo2": (Olmo2Config, Olmo2ForCausalLM, {}),
    "smollm3": (SmolLM3Config, SmolLM3ForCausalLM, {"no_rope_layers": [1, 0, 1, 0]}),
}

_LATENT_HEADS = {
    "q_lora_rank": 16,
    "kv_lora_rank": 8,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 8,
    "num_key_value_heads": 4,
}
MIXTURES: dict[str, tuple[type, type, dict[str, Any]]] = {
    "mixtral": (MixtralConfig, MixtralForCausalLM, {"num_local_experts": 4}),
    "olmoe": (OlmoeConfig, OlmoeForCausalLM, {"num_experts": 4, "num_experts_per_tok": 2}),
    "qwen3_moe": (
        Qwen3MoeConfig,
        Qwen3MoeForCausalLM,
        {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16, "head_dim": 8},
    ),
    "qwen2_moe": (
        Qwen2MoeConfig,
        Qwen2MoeForCausalLM,
        {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16, "shared_expert_intermediate_size": 8},
    ),
    "phimoe": (PhimoeConfig, PhimoeForCausalLM, {"num_local_experts": 4}),
    "deepseek_v3": (
        DeepseekV3Config,
        DeepseekV3ForCausalLM,
        {"n_routed_experts": 4, "num_experts_per_tok": 2, "n_group": 1, "topk_group": 1, "first_k_dense_replace": 1}
        | _LATENT_HEADS,
    ),
}
"""Models whose layers choose among experts."""


def small(family: str, **changed: Any) -> Any:
    """A random model of ``family``, frozen, the same at each call."""
    config_class, model_class, own = (FAMILIES | MIXTURES)[family]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = model_class(config_class(**{**_SIZES, **own, **changed}))
    return model.eval().requires_grad_(False)


def granite(**changed: Any) -> Any:
    """A model that multiplies what it is given as embeddings, so it cannot be cut at a layer."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = GraniteForCausalLM(GraniteConfig(**{**_SIZES, "embedding_multiplier": 12.0, **changed}))
    return model.eval().requires_grad_(False)


def gpt2(**changed: Any) -> Any:
    """A model of Conv1D modules, whose attention and MLP both have a ``c_proj``."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = GPT2LMHeadModel(GPT2Config(**{**_SIZES, **changed}))
    return model.eval().requires_grad_(False)


class ListedExperts(nn.Module):
    """A mixture whose experts are modules in a list: each token goes to the one its router says."""

    def __init__(self, num_experts: int = 3) -> None:
        super().__init__()
        self.gate = nn.Linear(32, num_experts, bias=False)
        pairs = ([("w1", nn.Linear(32, 16)), ("w2", nn.Linear(16, 32))] for _ in range(num_experts))
        self.experts = nn.ModuleList(nn.Sequential(OrderedDict(pair)) for pair in pairs)

    def forward(self, hidden_BTD: torch.Tensor) -> torch.Tensor:
        chosen_BT1 = self.gate(hidden_BTD).argmax(-1, keepdim=True)
        outputs = (expert(hidden_BTD) for expert in self.experts)
        return sum(output * (chosen_BT1 == index) for index, output in enumerate(outputs))  # type: ignore[return-value]


def with_listed_experts() -> Any:
    """A Llama with such a mixture in every layer but the first."""
    model = small("llama")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for layer in model.model.layers[1:]:
            layer.mlp = ListedExperts()
    return model.eval().requires_grad_(False)


def talking(build: Callable[..., Any], **changed: Any) -> Base:
    """A model with the tests' chat tokenizer, wide and loud enough to be sure of a token."""
    tokenizer = chat_tokenizer()
    sizes = {"vocab_size": len(tokenizer), "hidden_size": 64, "initializer_range": 0.5, "max_position_embeddings": 512}
    ends = dict.fromkeys(("eos_token_id", "pad_token_id"), tokenizer.eos_token_id)
    model = build(**{**sizes, **ends, **changed})
    return freeze(model, tokenizer, Source("small", "small", is_local=True))


def placed(model: Any, layers: str = "top:2", modules: str = "all-linear", rank: int = 3, **settings: Any) -> Placement:
    """A placement in ``model``."""
    return resolve(PlacementConfig(layers=layers, modules=modules, **settings), model, rank)


def awake(placement: Placement, seed: int = 1, size: float = 0.3) -> Adapter:
    """An adapter whose B is not zero, so that it changes what the model says."""
    adapter = Adapter.initialised(placement, torch.device("cpu"), seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for lora_B in adapter.lora_B:
            lora_B.copy_(torch.randn(lora_B.shape, generator=generator) * size)
    return adapter.eval()


def random_tokens(num_rows: int, num_positions: int, vocab_size: int = 97, seed: int = 3) -> torch.Tensor:
    """tokens_BT."""
    return torch.randint(vocab_size, (num_rows, num_positions), generator=torch.Generator().manual_seed(seed))


def close(got: torch.Tensor, expected: torch.Tensor, relative: float = 1e-5) -> bool:
    """Whether the largest difference is below a share of the largest value."""
    return bool((got - expected).abs().max() <= relative * expected.abs().max())


def all_close(got: Sequence[torch.Tensor], expected: Sequence[torch.Tensor], relative: float = 1e-5) -> bool:
    """`close` for each pair."""
    return all(close(a, b, relative) for a, b in zip(got, expected, strict=True))
