"""The model cut at its lowest adapted layer, with nothing of its own forward rewritten.

    prefix: tokens → hidden       what the adapter never touches: computed once
    suffix: hidden → final_AD     the adapted layers, up to the input of the output head
    head:   final_AD → logits_AV  at the positions that predict an answer token, and only there

All three run the model's own forward, so that masks, rotary embeddings, norms and logit scaling stay the model's. The
prefix stops at the door of the first adapted layer; the suffix gets the hidden states as ``inputs_embeds`` with the
list of layers shortened; the head runs the model without layers on one token and exchanges what reaches the output
embedding. Three savings come on top: what all rows share runs once (`shared_prompt`), the last layer's MLP and norm run
only where logits are read, and the head can be asked for some words of the vocabulary. Whether each part and each
saving gives the model's own logits is checked for each model that is loaded; what does not is left out.

Tensor names: B records, T positions, A packed answer tokens, D hidden, V vocabulary, K chosen words.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from byheart.errors import ModelError
from byheart.model.base import decoder_layers
from byheart.model.reading import read_only_at
from byheart.model.shared_prompt import Rows, as_if_long, attending

NOISE = {torch.float32: 1e-5, torch.bfloat16: 1e-2, torch.float16: 2e-3}
"""Largest difference of logits, as a share of the largest logit, that counts as the dtype's own rounding; more does
where the model itself moves by more when its layers' inputs are off by a rounding, up to eight times this."""

SAVINGS = {
    "shares_prompt": "the shared prompt run once",
    "skips_unread": "the last layer only where it is read",
    "picks_words": "a shortlist of words",
}
_WINDOW, _LENGTH, _SHARED = 8, 32, 10


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
        shares_prompt: whether rows may have a shared part.
        skips_unread: whether the last layer works only where its result is read.
        picks_words: whether the head can give the logits of some words alone.
    """

    model: Any
    cut: int | None
    shares_prompt: bool = False
    skips_unread: bool = False
    picks_words: bool = False

    def prefix(self, tokens: Tensor | Rows) -> Rows:
        """Hidden states at the input of layer ``cut``; no gradient.

        Args:
            tokens: ids, [B, T] int64, or rows of them with a shared part.

        Returns:
            hidden: [B, T, D] (and [L, D]) in the model's dtype; uncut: the ids themselves, [B, T, 1] int64.
        """
        rows = tokens if isinstance(tokens, Rows) else Rows(tokens)
        if self.cut is None:
            return rows.each(lambda ids: ids.unsqueeze(-1))
        decoder, list_name = decoder_layers(self.model)

        def stop(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            raise _AtTheDoor(args[0] if args else kwargs["hidden_states"])

        handle = getattr(decoder, list_name)[self.cut].register_forward_pre_hook(stop, with_kwargs=True)
        try:
            with torch.no_grad():
                _run(self.model, decoder, "input_ids", rows)
        except _AtTheDoor as door:
            return Rows(door.hidden_BTD) if rows.shared is None else rows.layout.rows(door.hidden_BTD)
        finally:
            handle.remove()
        raise ModelError(f"{type(self.model).__name__} never reached its layer {self.cut}")

    def suffix(self, hidden: Rows, reading_A: Tensor | None = None) -> Tensor:
        """Final hidden states, normed: what the output head takes.

        Args:
            hidden: as `prefix` gives them.
            reading_A: the rows' own positions to be read, of all rows laid end to end, int64, rising; None for all.

        Returns:
            final_AD: at the positions read, packed by row, then by position.
        """
        decoder, list_name = decoder_layers(self.model)
        if reading_A is None:
            reading_A = torch.arange(hidden.layout.num_rows * hidden.layout.num_each, device=hidden.own.device)
        read_A = reading_A + hidden.layout.num_shared
        layer = getattr(decoder, list_name)[-1]
        with read_only_at(layer, read_A) if self.skips_unread else contextlib.nullcontext():
            if self.cut is None:
                final = _run(self.model, decoder, "input_ids", hidden.each(lambda ids: ids.squeeze(-1)))
            else:
                with _only_layers(self.model, slice(self.cut, None)):
                    final = _run(self.model, decoder, "inputs_embeds", hidden)
        return final[0] if self.skips_unread else final.flatten(0, 1).index_select(0, read_A)

    def head(self, final_AD: Tensor, word_K: Tensor | None = None) -> Tensor:
        """Logits, in the model's dtype, of packed final hidden states.

        Args:
            final_AD: as `suffix` gives them.
            word_K: ids of the words whose logits are wanted, int64; None for all.

        Returns:
            logits_AV, or logits_AK.
        """
        embedding = self.model.get_output_embeddings()
        bias = getattr(embedding, "bias", None)

        def exchanged(hidden: Tensor) -> Tensor:
            if word_K is None:
                return own(final_AD.unsqueeze(0))
            return F.linear(final_AD.unsqueeze(0), embedding.weight[word_K], None if bias is None else bias[word_K])

        layers = contextlib.nullcontext() if self.cut is None else _only_layers(self.model, slice(0, 0))
        own = embedding.forward
        embedding.forward = exchanged
        try:
            with layers:
                token = torch.zeros(1, 1, dtype=torch.int64, device=final_AD.device)
                return self.model(input_ids=token, use_cache=False).logits[0]
        finally:
            del embedding.forward


def _run(model: Any, decoder: Any, argument: str, rows: Rows) -> Tensor:
    """The decoder's last hidden states, by its own forward."""
    if rows.shared is None:
        return decoder(**{argument: rows.own}, use_cache=False).last_hidden_state
    with attending(model, rows.layout) as no_mask:
        return decoder(
            **{argument: rows.layout.one_row(rows.shared, rows.own)},
            position_ids=rows.layout.positions(rows.own.device),
            attention_mask=no_mask,
            use_cache=False,
        ).last_hidden_state


def split(model: Any, cut: int) -> SplitModel:
    """``model`` cut below layer ``cut``, with every saving that gives the whole model's logits; uncut, with a warning,
    where the cut does not.

    Raises:
        ModelError: not even the uncut parts give the model's logits.
    """
    everything = SplitModel(model, cut, shares_prompt=True, skips_unread=True, picks_words=True)
    if _equals_whole(everything):
        return everything
    parts = next((trial for trial in (SplitModel(model, cut), SplitModel(model, None)) if _equals_whole(trial)), None)
    if parts is None:
        raise ModelError(
            f"{type(model).__name__} cannot be learnt with: its logits are not "
            "its output embedding of its last hidden state"
        )
    for saving in SAVINGS:
        trial = replace(parts, **{saving: True})
        parts = trial if _equals_whole(trial) else parts
    if parts.cut is None and cut > 0:  # below layer 0 lies nothing that could be saved
        num_layers = model.config.num_hidden_layers
        warnings.warn(
            f"{type(model).__name__} cannot be cut at layer {cut}: all its {num_layers} layers run in every step "
            f"instead of {num_layers - cut}, about {num_layers / (num_layers - cut):.3g} times the work",
            UncutModelWarning,
            stacklevel=2,
        )
    return parts


@torch.no_grad()
def _equals_whole(trial: SplitModel) -> bool:
    config, model = trial.model.config, trial.model
    length = min(_LENGTH, getattr(config, "max_position_embeddings", None) or _LENGTH)
    generator = torch.Generator().manual_seed(0)
    tokens_BT = torch.randint(config.vocab_size, (2, length), generator=generator).to(model.device)
    num_shared = min(_SHARED, length // 2) if trial.shares_prompt else 0
    tokens_BT[:, :num_shared] = tokens_BT[0, :num_shared].clone()
    tokens = Rows(tokens_BT[:, num_shared:], tokens_BT[0, :num_shared] if num_shared else None)
    reading_BT = torch.rand(tokens.own.shape, generator=generator).to(model.device) < 0.5
    word_K = torch.randperm(config.vocab_size, generator=generator)[: config.vocab_size // 2].to(model.device)
    with _small_window(model):
        expected_BTV = model(input_ids=tokens_BT, use_cache=False).logits.float()
        with _off_by_a_rounding(model):
            moved_BTV = model(input_ids=tokens_BT, use_cache=False).logits.float()
        expected_AV = expected_BTV[:, num_shared:][reading_BT]
        try:
            got = []
            for attention in (contextlib.nullcontext, as_if_long)[: 1 + trial.shares_prompt]:
                with attention():
                    final_AD = trial.suffix(trial.prefix(tokens), reading_BT.flatten().nonzero()[:, 0])
                got.append(trial.head(final_AD, word_K if trial.picks_words else None).float())
        except torch.OutOfMemoryError:  # says nothing of the parts
            raise
        except (RuntimeError, TypeError, ValueError, IndexError, KeyError, AttributeError):
            return False
    expected = expected_AV[:, word_K] if trial.picks_words else expected_AV
    noise = NOISE[model.dtype] * expected_BTV.abs().max()
    # Twice what one rounding a layer comes to: products and attention of another shape round in several places.
    noise = torch.maximum(noise, torch.minimum(2 * (moved_BTV - expected_BTV).abs().max(), 8 * noise))
    return all(logits.shape == expected.shape and bool((logits - expected).abs().max() <= noise) for logits in got)


@contextlib.contextmanager
def _off_by_a_rounding(model: Any) -> Iterator[None]:
    """``model`` with the input of each layer up to half a unit in the last place off, by chance. How far that moves the
    logits is the noise of its dtype. Whether rows run together and alone differ does not tell it: many processors round
    a row the same in any company.
    """
    decoder, list_name = decoder_layers(model)
    generator = torch.Generator().manual_seed(0)

    def move(
        module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        hidden = args[0] if args else kwargs["hidden_states"]
        half_BTD = (torch.rand(hidden.shape, generator=generator) - 0.5).to(hidden.device)
        moved = (hidden.float() * (1 + torch.finfo(hidden.dtype).eps * half_BTD)).to(hidden.dtype)
        return ((moved, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": moved})

    handles = [layer.register_forward_pre_hook(move, with_kwargs=True) for layer in getattr(decoder, list_name)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextlib.contextmanager
def _small_window(model: Any) -> Iterator[None]:
    """``model`` with a sliding window or chunk shorter than the check's tokens, so that a mask of the wrong kind of
    layer shows; as it was afterwards. transformers reads both from the config whenever it makes a mask, and hands some
    models' attention what its modules kept.
    """
    decoder, _ = decoder_layers(model)
    config: Any = decoder.config
    holders: list[Any] = [config, *decoder.modules()]
    own = [
        (holder, name, length)
        for holder in holders
        for name in ("sliding_window", "attention_chunk_size")
        if isinstance(length := getattr(holder, name, None), int) and length
    ]
    try:
        for holder, name, length in own:
            setattr(holder, name, min(length, _WINDOW))
        yield
    finally:
        for holder, name, length in own:
            setattr(holder, name, length)


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
