"""The model cut at its lowest adapted layer, with nothing of its own forward rewritten.

    prefix: tokens_BT → hidden_BTD       what the adapter never touches: computed once
    suffix: hidden_BTD → final_BTD       the adapted layers, up to the input of the output head
    head:   final_AD → logits_AV         at the positions that predict an answer token, and only there

All three run the model's own forward, so that masks, rotary embeddings, norms and logit scaling stay the model's. The
prefix stops at the door of the first adapted layer; the suffix gets the hidden states as ``inputs_embeds`` with the
list of layers shortened; the head runs the model
without layers on one token and exchanges what reaches the output embedding. Whether that gives the model's own logits
is checked for each model that is loaded; where it does not, the model runs uncut.

Tensor names: B records, T positions, A packed answer tokens, D hidden, V vocabulary.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from byheart.errors import ModelError
from byheart.model.base import decoder_layers

NOISE = {torch.float32: 1e-5, torch.bfloat16: 1e-2, torch.float16: 2e-3}
"""Largest difference of logits, as a share of the largest logit, that counts as the dtype's own rounding."""


_WINDOW = 8
_LENGTH = 32


class UncutModelWarning(UserWarning):
    """A model's layers cannot be run apart; all of it runs in every step."""


class _AtTheDoor(Exception):  # noqa: N818 - a way out, not an error
    """Carries the hidden states out of the model's forward; never leaves this file."""

    def __init__(self, hidden_BTD: Tensor) -> None:
        self.hidden_BTD = hidden_BTD


@dataclass(frozen=True, slots=True)
class SplitModel:
    """A causal language model in three parts.

    Attributes:
        model: transformers' model, whole.
        cut: index of the first layer of the suffix; None: uncut, the prefix hands the tokens on and the suffix is the
            whole decoder.
    """

    model: Any
    cut: int | None

    def prefix(self, tokens_BT: Tensor) -> Tensor:
        """Hidden states at the input of layer ``cut``; no gradient.

        Returns:
            hidden_BTD: in the model's dtype; uncut: the token ids themselves, [B, T, 1] int64.
        """
        if self.cut is None:
            return tokens_BT.unsqueeze(-1)
        decoder, list_name = decoder_layers(self.model)

        def stop(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            raise _AtTheDoor(args[0] if args else kwargs["hidden_states"])

        handle = getattr(decoder, list_name)[self.cut].register_forward_pre_hook(stop, with_kwargs=True)
        try:
            with torch.no_grad():
                decoder(input_ids=tokens_BT, use_cache=False)
        except _AtTheDoor as door:
            return door.hidden_BTD
        finally:
            handle.remove()
        raise ModelError(f"{type(self.model).__name__} never reached its layer {self.cut}")

    def suffix(self, hidden_BTD: Tensor) -> Tensor:
        """Final hidden states, normed: what the output head takes."""
        decoder, _ = decoder_layers(self.model)
        if self.cut is None:
            return decoder(input_ids=hidden_BTD.squeeze(-1), use_cache=False).last_hidden_state
        with _only_layers(self.model, slice(self.cut, None)):
            return decoder(inputs_embeds=hidden_BTD, use_cache=False).last_hidden_state

    def head(self, final_AD: Tensor) -> Tensor:
        """Logits, in the model's dtype, of packed final hidden states."""

        def exchange(module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor]:
            return (final_AD.unsqueeze(0),)

        layers = contextlib.nullcontext() if self.cut is None else _only_layers(self.model, slice(0, 0))
        handle = self.model.get_output_embeddings().register_forward_pre_hook(exchange)
        try:
            with layers:
                token = torch.zeros(1, 1, dtype=torch.int64, device=final_AD.device)
                return self.model(input_ids=token, use_cache=False).logits[0]
        finally:
            handle.remove()


def split(model: Any, cut: int) -> SplitModel:
    """``model`` cut below layer ``cut``, checked against the whole model; uncut, with a warning, where the check fails.

    Raises:
        ModelError: not even the uncut parts give the model's logits.
    """
    trial = SplitModel(model, cut)
    if _equals_whole(trial):
        return trial
    uncut = SplitModel(model, None)
    if not _equals_whole(uncut):
        raise ModelError(
            f"{type(model).__name__} cannot be learnt with: its logits are not "
            "its output embedding of its last hidden state"
        )
    if cut == 0:  # nothing lies below it, so nothing is lost
        return uncut
    num_layers = model.config.num_hidden_layers
    warnings.warn(
        f"{type(model).__name__} cannot be cut at layer {cut}: all its {num_layers} layers run in every step "
        f"instead of {num_layers - cut}, about {num_layers / (num_layers - cut):.0f} times the work",
        UncutModelWarning,
        stacklevel=2,
    )
    return uncut


@torch.no_grad()
def _equals_whole(trial: SplitModel) -> bool:
    config, model = trial.model.config, trial.model
    length = min(_LENGTH, getattr(config, "max_position_embeddings", None) or _LENGTH)
    generator = torch.Generator().manual_seed(0)
    tokens_BT = torch.randint(config.vocab_size, (2, length), generator=generator).to(model.device)
    with _small_window(model):
        expected_BTV = model(input_ids=tokens_BT, use_cache=False).logits.float()
        try:
            logits_AV = trial.head(trial.suffix(trial.prefix(tokens_BT)).flatten(0, 1)).float()
        except (RuntimeError, TypeError, ValueError, IndexError, KeyError, AttributeError):
            return False
    difference = (logits_AV - expected_BTV.flatten(0, 1)).abs().max()
    return bool(difference <= NOISE[model.dtype] * expected_BTV.abs().max())


@contextlib.contextmanager
def _small_window(model: Any) -> Iterator[None]:
    """``model`` with a sliding window or chunk shorter than the check's tokens, so that a mask of the wrong kind of
    layer shows; as it was afterwards. transformers reads both from the config whenever it makes a mask.
    """
    decoder, _ = decoder_layers(model)
    config: Any = decoder.config
    own = {name: getattr(config, name, None) for name in ("sliding_window", "attention_chunk_size")}
    try:
        for name, length in own.items():
            if length:
                setattr(config, name, min(length, _WINDOW))
        yield
    finally:
        for name, length in own.items():
            if length:
                setattr(config, name, length)


@contextlib.contextmanager
def _only_layers(model: Any, kept: slice) -> Iterator[None]:
    """``model`` with only some of its layers, its config telling the same; as it was afterwards."""
    decoder, list_name = decoder_layers(model)
    layers: nn.ModuleList = getattr(decoder, list_name)
    config: Any = decoder.config
    num_layers, layer_types = config.num_hidden_layers, getattr(config, "layer_types", None)
    try:
        setattr(decoder, list_name, nn.ModuleList(list(layers)[kept]))
        config.num_hidden_layers = len(list(layers)[kept])
        if layer_types is not None:
            config.layer_types = layer_types[kept]
        yield
    finally:
        setattr(decoder, list_name, layers)
        config.num_hidden_layers = num_layers
        if layer_types is not None:
            config.layer_types = layer_types
