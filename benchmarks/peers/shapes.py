"""Randomly initialised models of a known shape: what a step takes depends on a model's shape, not on what it knows.

A Qwen3 with the embedded model's tokenizer, its vocabulary padded to the shape's. It knows nothing, but its layers mix
what they are given as a trained model's do, so an adapter learns with it. The same seed makes the same model on the
same device.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

DEPTH = 24 / 36
"""Of the one layer that the paper adapts in Qwen3-8B, as a share of all; time_to_exact.py has the same of another."""


@dataclass(frozen=True)
class Shape:
    """Sizes of a Qwen3.

    Attributes:
        num_layers: decoder layers.
        num_hidden: width of a hidden state.
        num_intermediate: width inside the MLP.
        num_heads: that ask.
        num_key_value_heads: that are asked.
        head_size: width of each.
        num_words: of the vocabulary, padding included.
    """

    num_layers: int
    num_hidden: int
    num_intermediate: int
    num_heads: int
    num_key_value_heads: int
    head_size: int
    num_words: int

    @property
    def layer(self) -> int:
        """Index of the one layer that is adapted."""
        return int(DEPTH * self.num_layers)

    @property
    def output_weights(self) -> int:
        """Weights of the product behind attention, ``o_proj``."""
        return self.num_hidden * self.num_heads * self.head_size

    @property
    def attention_weights(self) -> int:
        """Weights of a layer's attention: ``q_proj`` and ``o_proj``, ``k_proj`` and ``v_proj``."""
        return 2 * self.output_weights + 2 * self.num_hidden * self.num_key_value_heads * self.head_size

    @property
    def down_weights(self) -> int:
        """Weights of ``down_proj``, and of either of the other two of the MLP."""
        return self.num_hidden * self.num_intermediate

    @property
    def layer_weights(self) -> int:
        """Weights of a layer's products; its norms, a few thousand, are no products."""
        return self.attention_weights + 3 * self.down_weights

    @property
    def head_weights(self) -> int:
        """Weights of the output embedding."""
        return self.num_hidden * self.num_words


SHAPES = {
    "qwen3-8b": Shape(36, 4096, 12288, 32, 8, 128, 151_936),
    "tiny": Shape(6, 64, 192, 4, 2, 16, 49_408),
}


def random_base(name: str, shape: Shape, tokenizer: Any, device: str) -> Any:
    """A random model of ``shape`` in bf16 as byheart's `Base`; torch's generators are seeded by the caller.

    Args:
        name: what to call it.
        shape: its sizes.
        tokenizer: transformers' own; the shape's vocabulary must be at least as large.
        device: where its weights are drawn and stay.

    Raises:
        ValueError: the tokenizer has words that the shape has no room for.
    """
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    from byheart.model.base import freeze
    from byheart.model.catalog import Source

    if len(tokenizer) > shape.num_words:
        raise ValueError(f"the tokenizer has {len(tokenizer):,} words, shape {name} only {shape.num_words:,}")
    config = Qwen3Config(
        num_hidden_layers=shape.num_layers,
        hidden_size=shape.num_hidden,
        intermediate_size=shape.num_intermediate,
        num_attention_heads=shape.num_heads,
        num_key_value_heads=shape.num_key_value_heads,
        head_dim=shape.head_size,
        vocab_size=shape.num_words,
        max_position_embeddings=40_960,
        rms_norm_eps=1e-6,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        dtype="bfloat16",
    )
    # Drawn where they stay and in bf16: eight billion weights in fp32 on the CPU would take minutes and 32 GB.
    with torch.device(device):
        model = Qwen3ForCausalLM._from_config(config, dtype=torch.bfloat16)
    return freeze(model, tokenizer, Source(f"random-{name}", f"random-{name}", is_local=True))
