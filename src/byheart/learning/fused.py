"""Losses without their logits, on a GPU: liger-kernel's fused linear cross-entropy (extra ``cuda``).

Where a step takes the softmax over the whole vocabulary, its logits are written, read and written again; the fused
kernel makes them a few tokens at a time and keeps none. It knows a plain output head, with or without a bias and a soft
cap, so whether it gives this model's own losses and gradients is found out before it is used. What counts as learnt is
never measured with it: looks, full passes and certificates take the exact path.

Tensor names: A packed answer tokens, D hidden.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor

from byheart.learning.loss import CHUNK_TOKENS, token_losses
from byheart.model.split import NOISE, SplitModel

FusedLosses: TypeAlias = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""(final_AD, target_A) → (nll_A, is_argmax_A), as `byheart.learning.loss.token_losses` gives them."""

_NUM_TRIED = 64


def fused_losses(split_model: SplitModel) -> FusedLosses | None:
    """The fused losses of a model's own output head; None without a GPU, without liger-kernel, or where they are not
    the model's.
    """
    if split_model.model.device.type != "cuda" or importlib.util.find_spec("liger_kernel") is None:
        return None
    try:
        functions = importlib.import_module("liger_kernel.transformers.functional")
    except Exception:  # as below
        return None
    losses = of_head(split_model.model, functions.liger_fused_linear_cross_entropy)
    return losses if is_the_models(losses, split_model) else None


def of_head(model: Any, kernel: Callable[..., Any]) -> FusedLosses:
    """A kernel's losses for the output head of ``model``.

    Args:
        model: its output embedding, and the soft cap that its config names.
        kernel: with the arguments of liger-kernel's ``liger_fused_linear_cross_entropy``.
    """
    embedding = model.get_output_embeddings()
    num_words, num_hidden = embedding.weight.shape
    softcap = getattr(model.config.get_text_config(), "final_logit_softcapping", None)

    def losses(final_AD: Tensor, target_A: Tensor) -> tuple[Tensor, Tensor]:
        output = kernel(
            final_AD,
            embedding.weight,
            target_A,
            bias=getattr(embedding, "bias", None),
            reduction="none",
            softcap=softcap,
            return_predicted_tokens=True,
            # Its own choice, A · D / V tokens at once, reads the whole head for every fourth of 110 tokens.
            chunk_mem_const=max(1, -(-num_words // num_hidden) * CHUNK_TOKENS // max(len(target_A), CHUNK_TOKENS)),
        )
        return output.loss, output.predicted_tokens == target_A

    return losses


def is_the_models(losses: FusedLosses, split_model: SplitModel) -> bool:
    """Whether losses, their argmax and their gradients are those of the model's own head, to the dtype's noise."""
    model = split_model.model
    num_words, num_hidden = model.get_output_embeddings().weight.shape
    generator = torch.Generator().manual_seed(0)
    drawn_AD = torch.randn(_NUM_TRIED, num_hidden, generator=generator)
    target_A = torch.randint(num_words, (_NUM_TRIED,), generator=generator).to(model.device)
    weight_A = torch.rand(_NUM_TRIED, generator=generator).to(model.device)

    def tried(of: Callable[[Tensor], tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor, Tensor]:
        final_AD = drawn_AD.to(model.device, model.dtype).requires_grad_()
        nll_A, is_argmax_A = of(final_AD)
        (gradient_AD,) = torch.autograd.grad((weight_A * nll_A).sum(), final_AD)
        return nll_A.detach(), is_argmax_A, gradient_AD.float()

    expected = tried(lambda final_AD: token_losses(split_model.head, final_AD, target_A))
    try:
        got = tried(lambda final_AD: losses(final_AD, target_A))
    except torch.OutOfMemoryError:
        raise
    except Exception:  # Triton compiles on first use, and what fails there is of any kind, a missing compiler's too
        return False
    noise = 2 * NOISE[model.dtype]
    return bool(
        torch.equal(got[1], expected[1])
        and all((a - b).abs().max() <= noise * b.abs().max() for a, b in zip(got[::2], expected[::2], strict=True))
    )
