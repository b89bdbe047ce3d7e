"""transformers' own `generate`, made plainly greedy: nothing that a model's files ask for beside the argmax."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import Any

import torch
from torch import Tensor

from byheart.model.quiet import quiet_transformers


@torch.no_grad()
def generate_greedily(
    model: Any,
    tokens_BT: Tensor,
    attention_mask_BT: Tensor,
    *,
    max_new_tokens: int,
    stop_id: int | None,
    pad_id: int,
) -> list[list[int]]:
    """The greedy continuation of each prompt, as new token ids; after ``stop_id`` come pads.

    Args:
        model: transformers' causal language model.
        tokens_BT: prompts, padded on the left.
        attention_mask_BT: 1 where ``tokens_BT`` holds a prompt's token.
        max_new_tokens: where a continuation that does not end is cut.
        stop_id: the token that ends a continuation; None: nothing does.
        pad_id: any id of the vocabulary.
    """
    from transformers import GenerationConfig

    plain = GenerationConfig(
        do_sample=False, max_new_tokens=max_new_tokens, eos_token_id=stop_id, pad_token_id=pad_id, use_cache=True
    )
    with _without_own_defaults(model), _contiguous_at_the_head(model), quiet_transformers():
        output_BT = model.generate(tokens_BT, attention_mask=attention_mask_BT, generation_config=plain)
    return output_BT[:, tokens_BT.shape[1] :].tolist()


@contextlib.contextmanager
def _without_own_defaults(model: Any) -> Generator[None]:
    """Takes the model's own generation settings away: a repetition penalty among them would not be greedy."""
    from transformers import GenerationConfig

    own = model.generation_config
    model.generation_config = GenerationConfig()
    try:
        yield
    finally:
        model.generation_config = own


@contextlib.contextmanager
def _contiguous_at_the_head(model: Any) -> Generator[None]:
    """Hands the output embedding its input in one piece. `generate` takes the last position of each prompt as a view,
    for which PyTorch multiplies row by row on a CPU, with a copy of the whole embedding for each.
    """

    def in_one_piece(module: torch.nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (inputs[0].contiguous(), *inputs[1:])

    handle = model.get_output_embeddings().register_forward_pre_hook(in_one_piece)
    try:
        yield
    finally:
        handle.remove()
