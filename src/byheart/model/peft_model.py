"""A base model with an adapter that stock PEFT loads into it: whatever PEFT can put into a model's own modules.

Nothing of the adapter is read by rules of our own, so rank-stabilised, weight-decomposed, patterned and other variants
mean here what they mean in PEFT. What PEFT loads only in part is refused, as is what acts outside the model's modules
(virtual tokens and the like). Leaving the block takes the adapter out again.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from byheart.errors import BundleError
from byheart.model.base import Base
from byheart.model.quiet import quiet_transformers
from byheart.model.split import NOISE, split

_LEAVE_THE_BASE_ALONE = {True, False, "gaussian", "eva", "orthogonal"}
"""Of PEFT's ``init_lora_weights`` those that change no weight of the base on loading."""
_CHECKED_TOKENS = 16


@contextlib.contextmanager
def peft_loaded(base: Base, directory: Path) -> Iterator[None]:
    """``base`` with the adapter in ``directory`` at work, for the length of the block; afterwards as it was.

    Raises:
        BundleError: PEFT cannot load it, or not all of it, or it acts outside the model's modules; with the reason.
        ModelError: the model's logits are not its output embedding of its last hidden state.
    """
    from peft import PeftConfig, PeftModel

    model = base.model
    try:
        config: Any = PeftConfig.from_pretrained(str(directory))
    except Exception as error:  # damaged files come out of PEFT as whatever its parsers stumble over
        raise BundleError(f"PEFT cannot read {directory}: {_reason(error)}") from error
    _refuse_outside_of_modules(config, directory)
    with _put_back(model, changes_weights=getattr(config, "init_lora_weights", True) not in _LEAVE_THE_BASE_ALONE):
        try:
            with quiet_transformers(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                adapted: Any = PeftModel.from_pretrained(
                    model, str(directory), config=config, torch_device=str(base.device)
                )
                # Loaded once more, since only this tells what of the file found no place.
                result = adapted.load_adapter(str(directory), "default", torch_device=str(base.device))
        except Exception as error:  # as above
            raise BundleError(f"PEFT cannot load {directory} onto {base.identity.name!r}: {_reason(error)}") from error
        if wrong := sorted({*result.missing_keys, *result.unexpected_keys}):
            raise BundleError(
                f"{directory} is not an adapter of {base.identity.name!r}: weights without a place in it, or places "
                f"without weights: {', '.join(wrong[:3])}{', …' if len(wrong) > 3 else ''}; name its own base model"
            )
        adapted.eval()
        _refuse_hidden_work(adapted, base)
        split(model, 0)
        yield


@contextlib.contextmanager
def _put_back(model: Any, *, changes_weights: bool) -> Iterator[None]:
    """``model`` as it was after the block: the very modules it had, and where PEFT changes weights of the base on
    loading, their values. (PEFT's own ``unload`` leaves trained copies of whole modules in their place.)
    """
    children = [(module, dict(module._modules)) for module in model.modules()]
    weights = {name: weight.detach().clone() for name, weight in model.named_parameters()} if changes_weights else {}
    try:
        yield
    finally:
        for module, named in children:
            for name, child in named.items():
                setattr(module, name, child)
        if hasattr(model, "peft_config"):
            del model.peft_config
        with torch.no_grad():
            for name, weight in weights.items():
                model.get_parameter(name).copy_(weight)
        model.eval().requires_grad_(False)


def tokenizer_beside(directory: Path) -> Any:
    """The tokenizer that was saved with an adapter; code that comes with it is never run.

    Raises:
        BundleError: transformers cannot load it.
    """
    from transformers import AutoTokenizer

    try:
        with quiet_transformers():
            return AutoTokenizer.from_pretrained(str(directory), trust_remote_code=False)
    except Exception as error:  # as above
        raise BundleError(f"cannot load the tokenizer beside the adapter in {directory}: {_reason(error)}") from error


def _refuse_outside_of_modules(config: Any, directory: Path) -> None:
    kind = str(getattr(config.peft_type, "value", config.peft_type))
    if config.is_prompt_learning or kind in ("XLORA", "POLY", "ADAPTION_PROMPT"):
        raise BundleError(
            f"{directory} is of the kind {kind}, which acts outside the model's own modules; byheart certifies "
            "adapters that sit in them, as LORA does"
        )
    if getattr(config, "megatron_config", None):
        raise BundleError(f"{directory} names Megatron modules to import (megatron_config), which byheart does not do")
    if getattr(config, "alora_invocation_tokens", None):
        raise BundleError(
            f"{directory} is an activated LoRA, which works from certain tokens on; byheart certifies adapters that "
            "are at work on every token"
        )


@torch.no_grad()
def _refuse_hidden_work(adapted: Any, base: Base) -> None:
    """Makes sure that the model's own forward is all that PEFT's does."""
    num_tokens = min(_CHECKED_TOKENS, base.max_tokens or _CHECKED_TOKENS)
    generator = torch.Generator().manual_seed(0)
    tokens_BT = torch.randint(base.model.config.vocab_size, (1, num_tokens), generator=generator).to(base.device)
    expected = adapted(input_ids=tokens_BT, use_cache=False).logits.float()
    got = base.model(input_ids=tokens_BT, use_cache=False).logits.float()
    if expected.shape != got.shape or (expected - got).abs().max() > NOISE[base.dtype] * expected.abs().max():
        raise BundleError("the adapter does more than its modules do in the model's forward, and cannot be certified")


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or ["no reason given"]
    return f"{type(error).__name__}: {' '.join(lines[:2])}"
