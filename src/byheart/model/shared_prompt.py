"""Rows that begin alike, run as one sequence: what they share once, then each row's own part.

    shared_L  row_1 … row_1  row_2 … row_2  …        one row of L + B·T positions

Everything in a decoder but attention works on each position alone, so the rows need no dimension of their own there.
Attention gets them back: the shared part looks at itself, each row at the shared part and at itself, never at another
row. Gradients of all rows meet in the shared part's keys and values. Positions count on from L in each row.

transformers lets a model's attention be exchanged by name; a model that does not ask it (or makes more of its masks
than a causal order and a sliding window) gives other values here, which the check on loading finds out.

Tensor names: L shared positions, B rows, T positions of a row, H heads, K head size.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface

SHORT = 256
"""Keys up to which plain products are the faster attention on a CPU; docs/engine.md has the measurement."""

_NAME = "byheart_shared_prompt"


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of token ids or of hidden states.

    Attributes:
        own: [B, T] or [B, T, D].
        shared: [L] or [L, D], what stands before every row, L = 0 for nothing; None: the rows are no sequence, and the
            model runs them as it runs any batch.
    """

    own: Tensor
    shared: Tensor | None = None

    @property
    def layout(self) -> Layout:
        """How the rows lie end to end."""
        return Layout(0 if self.shared is None else len(self.shared), *self.own.shape[:2])

    def each(self, change: Callable[[Tensor], Tensor]) -> Rows:
        """The rows with both of their parts changed alike."""
        return Rows(change(self.own), None if self.shared is None else change(self.shared))


@dataclass(frozen=True, slots=True)
class Layout:
    """The shape of rows laid end to end behind what they share.

    Attributes:
        num_shared: L.
        num_rows: B.
        num_each: T, the rows' own positions.
    """

    num_shared: int
    num_rows: int
    num_each: int

    def one_row(self, shared_L: Tensor, rows_BT: Tensor) -> Tensor:
        """[L, …] and [B, T, …] → [1, L + B·T, …]."""
        return torch.cat([shared_L, rows_BT.flatten(0, 1)]).unsqueeze(0)

    def rows(self, one_row: Tensor) -> Rows:
        """[1, L + B·T, …] → its rows."""
        own = one_row[0, self.num_shared :].unflatten(0, (self.num_rows, self.num_each))
        return Rows(own, one_row[0, : self.num_shared])

    def positions(self, device: torch.device) -> Tensor:
        """position_ids [1, L + B·T]."""
        position_L = torch.arange(self.num_shared, device=device)
        position_BT = torch.arange(self.num_shared, self.num_shared + self.num_each, device=device)
        return self.one_row(position_L, position_BT.expand(self.num_rows, -1))


_layout: ContextVar[tuple[Layout, str]] = ContextVar(_NAME)
_short: ContextVar[int] = ContextVar(f"{_NAME}_short", default=SHORT)


@contextlib.contextmanager
def as_if_long() -> Iterator[None]:
    """Rows of any length get the attention of long ones, for the length of the block: so short ones can try it."""
    token = _short.set(0)
    try:
        yield
    finally:
        _short.reset(token)


@contextlib.contextmanager
def attending(model: Any, layout: Layout) -> Iterator[Tensor]:
    """``model`` with an attention that knows the layout, for the length of the block.

    Yields:
        What to hand the model as ``attention_mask``: four dimensions, so that no mask is made in its place.
    """
    AttentionInterface.register(_NAME, _attend)
    config: Any = model.config.get_text_config()
    own = config._attn_implementation
    token = _layout.set((layout, own))
    try:
        config._attn_implementation = _NAME
        yield torch.empty(1, 1, 0, 0, device=model.device)
    finally:
        config._attn_implementation = own
        _layout.reset(token)
        _causal_mask.cache_clear()  # of a long record it is as large as the square of its length


def _attend(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **options: Any
) -> tuple[Tensor, None]:
    """Attention of one row of a layout, by the implementation that the model would use itself.

    Args:
        module: the model's attention.
        query: [1, H, L + B·T, K].
        key: alike, with its own number of heads.
        value: alike.
        attention_mask: none of meaning.
        options: what the model passes on, its scaling and sliding window among it.

    Returns:
        [1, L + B·T, H, K], and no weights.
    """
    layout, own = _layout.get()
    num_shared, num_rows = layout.num_shared, layout.num_rows
    attend = _implementation(module, own, num_shared + layout.num_each, query.device)
    window = options.get("sliding_window")

    def rows(states: Tensor) -> Tensor:  # [1, H, L + B·T, K] → [B, H, T, K]
        return layout.rows(states.transpose(1, 2)).own.transpose(1, 2)

    def behind_shared(states: Tensor) -> Tensor:
        return torch.cat([states[:, :, :num_shared].expand(num_rows, -1, -1, -1), rows(states)], dim=2)

    shared = slice(0, num_shared)
    shared_1LHK: Tensor | None = None
    if num_shared:
        shared_1LHK, _ = attend(
            module,
            query[:, :, shared],
            key[:, :, shared],
            value[:, :, shared],
            causal_mask(num_shared, num_shared, window, query),
            **options,
        )
    own_BTHK, _ = attend(
        module,
        rows(query),
        behind_shared(key),
        behind_shared(value),
        causal_mask(layout.num_each, num_shared + layout.num_each, window, query),
        **options,
    )
    return layout.one_row(own_BTHK[0, :0] if shared_1LHK is None else shared_1LHK[0], own_BTHK), None


def causal_mask(num_queries: int, num_keys: int, window: int | None, like: Tensor) -> Tensor:
    """What is added to the scores of the last ``num_queries`` of ``num_keys`` positions: 0 where one may look, the
    dtype's least number elsewhere; [1, 1, num_queries, num_keys], of ``like``'s dtype and device.

    Args:
        num_queries: the last so many positions look.
        num_keys: and all these are looked at.
        window: how far back a position may look, itself included; None for no bound.
        like: of the scores' dtype and device.
    """
    return _causal_mask(num_queries, num_keys, window, like.dtype, like.device)


@lru_cache(maxsize=4)  # every layer of a pass asks for the same two; `attending` forgets them at its end
def _causal_mask(
    num_queries: int, num_keys: int, window: int | None, dtype: torch.dtype, device: torch.device
) -> Tensor:
    at_Q = torch.arange(num_keys - num_queries, num_keys, device=device)[:, None]
    at_K = torch.arange(num_keys, device=device)[None, :]
    hidden_QK = at_K > at_Q
    if window is not None:
        hidden_QK |= at_K <= at_Q - window
    mask_QK = torch.zeros(num_queries, num_keys, dtype=dtype, device=device)
    return mask_QK.masked_fill_(hidden_QK, torch.finfo(dtype).min)[None, None]


def is_short(num_keys: int, device: torch.device) -> bool:
    """Whether rows that attend to so many positions do so by plain products."""
    return device.type == "cpu" and num_keys <= _short.get()


def _implementation(module: Any, name: str, num_keys: int, device: torch.device) -> Callable[..., tuple[Tensor, Any]]:
    """The model's own attention in plain products where rows are short and PyTorch's fused kernel, made for long ones,
    is the slower by far on a CPU; else the one it is set to, PyTorch's standing in for what takes no mask.
    """
    plain = getattr(sys.modules[type(module).__module__], "eager_attention_forward", None)
    if plain is not None and (name == "eager" or is_short(num_keys, device)):
        return plain
    registry: Any = AttentionInterface()
    return registry["sdpa"]
