"""An adapter inside its base: W + scale · B A, taken in fp32 and rounded once, for the length of a block."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from byheart.model.adapter import Adapter
from byheart.model.sites import is_conv1d


@contextlib.contextmanager
def merged(model: nn.Module, adapter: Adapter) -> Iterator[None]:
    """``model`` with ``adapter``'s product added to its weights; the weights are put back when the block ends.

    Rounding is to the dtype of the model, which is where merged answers come to differ: a change smaller than a
    weight's own rounding is lost.
    """
    former: list[tuple[nn.Parameter, Tensor]] = []
    try:
        with torch.no_grad():
            for index, site in enumerate(adapter.placement.sites):
                module = model.get_submodule(site.path)
                weight = module.get_parameter("weight")
                delta = adapter.lora_B[index].float() @ adapter.lora_A[index].float() * adapter.placement.scale
                former.append((weight, weight.data))
                weight.data = (weight.data.float() + (delta.T if is_conv1d(module) else delta)).to(weight.dtype)
        yield
    finally:
        for weight, data in reversed(former):  # of a weight that two sites share the first is what it was
            weight.data = data
