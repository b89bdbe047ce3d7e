"""The adapter: low-rank additions to linear modules, attached with forward hooks for the length of a ``with`` block.

    module(x) + scale · (x Aᵀ) Bᵀ        A: R × in (Kaiming uniform), B: out × R (zero)

The base model is never changed: leaving the block removes the hooks, whatever happened in it. Master weights are fp32;
products are taken in the dtype of the activations, which is also the dtype the adapter is saved in, so what is learnt
is what is saved.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from byheart.errors import BundleError, PlacementError
from byheart.model.placement import Placement


class Adapter(nn.Module):
    """The learnable weights of a placement; two matrices a site, in fp32.

    Attributes:
        placement: the sites the matrices belong to, in order.
        lora_A: one R × in matrix a site.
        lora_B: one out × R matrix a site.
    """

    def __init__(self, placement: Placement, device: torch.device) -> None:
        super().__init__()
        self.placement = placement
        rank = placement.lora_rank
        self.lora_A = nn.ParameterList(torch.zeros(rank, site.num_in, device=device) for site in placement.sites)
        self.lora_B = nn.ParameterList(torch.zeros(site.num_out, rank, device=device) for site in placement.sites)

    @classmethod
    def initialised(cls, placement: Placement, device: torch.device, seed: int) -> Adapter:
        """A fresh adapter that changes nothing yet: A Kaiming-uniform with a = √5 (so ±1/√in), B zero. Drawn on the
        CPU, so the same
        seed gives the same weights on every device.
        """
        adapter = cls(placement, device)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for matrix, site in zip(adapter.lora_A, placement.sites, strict=True):
                bound = 1 / math.sqrt(site.num_in)
                matrix.copy_(torch.empty(matrix.shape).uniform_(-bound, bound, generator=generator))
        return adapter

    def grown(self, lora_rank: int, seed: int) -> Adapter:
        """An adapter of a higher rank that adds what this one adds: its rows of A and columns of B come first, further
        rows of A are drawn as `initialised` draws them, further columns of B are zero, and the scale stays.

        Args:
            lora_rank: not below this one's.
            seed: of the further rows.
        """
        rank, scale = self.placement.lora_rank, self.placement.scale
        placement = replace(self.placement, lora_rank=lora_rank, lora_alpha=scale * lora_rank)
        larger = Adapter.initialised(placement, self.lora_A[0].device, seed)
        with torch.no_grad():
            for mine, theirs in zip(self.lora_A, larger.lora_A, strict=True):
                theirs[:rank] = mine
            for mine, theirs in zip(self.lora_B, larger.lora_B, strict=True):
                theirs[:, :rank] = mine
        return larger

    def delta(self, index: int, x_D: Tensor) -> Tensor:
        """What site ``index`` adds to its module's output for the input ``x_D`` [..., in] → [..., out]."""
        placement = self.placement
        lora_A, lora_B = self.lora_A[index].to(x_D.dtype), self.lora_B[index].to(x_D.dtype)
        if placement.lora_dropout:
            x_D = F.dropout(x_D, placement.lora_dropout, self.training)
        delta = F.linear(F.linear(x_D, lora_A), lora_B)
        return delta if placement.scale == 1.0 else delta * placement.scale

    def tensors(self, dtype: torch.dtype) -> dict[str, Tensor]:
        """The weights by module path and matrix (``….lora_A.weight``), rounded to ``dtype``, on the CPU, detached."""
        return {
            name: weight.detach().to("cpu", dtype, copy=True).contiguous() for name, weight in self._named().items()
        }

    def _named(self) -> dict[str, nn.Parameter]:
        named: dict[str, nn.Parameter] = {}
        for site, lora_A, lora_B in zip(self.placement.sites, self.lora_A, self.lora_B, strict=True):
            named[f"{site.path}.lora_A.weight"], named[f"{site.path}.lora_B.weight"] = lora_A, lora_B
        return named

    def rounded(self, dtype: torch.dtype) -> Adapter:
        """A copy whose weights are those that a file of ``dtype`` would hold."""
        copy = Adapter(self.placement, self.lora_A[0].device)
        with torch.no_grad():
            for theirs, mine in zip(copy.parameters(), self.parameters(), strict=True):
                theirs.copy_(mine.to(dtype))
        return copy.eval()

    def sha256(self, dtype: torch.dtype) -> str:
        """Hash over names, shapes and bytes of the weights as saved in ``dtype``."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.tensors(dtype).items()):
            digest.update(f"{name} {dtype} {tuple(tensor.shape)}\n".encode())
            digest.update(tensor.view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    def load_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Takes weights as `tensors` gives them.

        Raises:
            BundleError: a matrix is missing, left over, or of another shape.
        """
        mine = self._named()
        if wrong := sorted(mine.keys() ^ tensors.keys()):
            raise BundleError(
                f"the adapter's weights do not fit its placement; missing or left over: {', '.join(wrong[:5])}"
            )
        with torch.no_grad():
            for name, weight in mine.items():
                given = tensors[name]
                if given.shape != weight.shape:
                    raise BundleError(
                        f"{name} has shape {tuple(given.shape)}, its placement says {tuple(weight.shape)}"
                    )
                weight.copy_(given)


@contextlib.contextmanager
def attached(model: nn.Module, adapter: Adapter) -> Iterator[None]:
    """``model`` with ``adapter`` at work, for the length of the block.

    Raises:
        PlacementError: a site's module does not exist in ``model``.
    """
    handles: list[Any] = []
    try:
        for index, site in enumerate(adapter.placement.sites):
            try:
                module = model.get_submodule(site.path)
            except AttributeError as error:
                raise PlacementError(f"the model has no module {site.path!r}, which the adapter adds to") from error
            handles.append(module.register_forward_hook(_adding(adapter, index)))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _adding(adapter: Adapter, index: int) -> Callable[[nn.Module, tuple[Tensor, ...], Any], Any]:
    def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Any) -> Any:
        delta = adapter.delta(index, inputs[0])
        if isinstance(output, tuple):  # an MLP of experts gives its router's scores too
            return output[0] + delta, *output[1:]
        return output + delta

    return hook
