"""A last layer that works only where its result is read.

Logits are wanted at the positions that predict an answer token, and no layer follows that could look at the others. So
the layer hands on those positions alone, which spares the norm behind it the rest, and its MLP, most of its work, sees
them alone. Attention runs everywhere: keys and values are looked at.

Tensor names: B rows, T positions, A positions read, D hidden.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from byheart.model.sites import mlp_name


@contextlib.contextmanager
def read_only_at(layer: nn.Module, read_A: Tensor) -> Iterator[None]:
    """``layer`` as one that gives [1, A, D] instead of [B, T, D], for the length of the block.

    Args:
        layer: a decoder's last.
        read_A: positions, of all rows laid end to end, int64.
    """
    handles = [layer.register_forward_hook(_hands_on(read_A))]
    if (name := mlp_name(layer)) is not None:
        taken, given_back = _only_at(read_A)
        mlp = layer.get_submodule(name)
        handles += [mlp.register_forward_pre_hook(taken), mlp.register_forward_hook(given_back)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _hands_on(read_A: Tensor) -> Callable[[nn.Module, tuple[Any, ...], Any], Any]:
    """A layer's hook that keeps some positions: hidden_BTD → [1, A, D]."""

    def hook(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
        if isinstance(output, tuple):
            return (output[0].flatten(0, 1).index_select(0, read_A).unsqueeze(0), *output[1:])
        return output.flatten(0, 1).index_select(0, read_A).unsqueeze(0)

    return hook


def _only_at(read_A: Tensor) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Hooks for a module that works on each position alone: it sees the positions read, and gives zero elsewhere."""
    shape: list[torch.Size] = []

    def taken(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        shape.append(inputs[0].shape)
        return (inputs[0].flatten(0, 1).index_select(0, read_A).unsqueeze(0), *inputs[1:])

    def given_back(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        size = shape.pop()
        nothing = output.new_zeros(size[0] * size[1], output.shape[-1])
        return nothing.index_copy(0, read_A, output[0]).unflatten(0, size[:2])

    return taken, given_back
