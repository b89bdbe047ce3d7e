"""First weights that already look where the records differ.

A fresh adapter's A is random, so most of what it hands on is what all positions have in common, and the first epochs go
into turning it. Here A's rows are the principal directions of each site's own inputs at the records' positions, less
their mean's direction (compare EVA, arXiv:2410.07170), scaled so that

    mean over rows of Var(A x) = SPREAD²

at every site, which makes one learning rate fit sites and models whose activations differ in size. B stays zero, so the
model's answers are unchanged.

Tensor names: N positions looked at, D inputs of a site, R LoRA rank.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn

from byheart.learning.activations import PREFIX_BATCH_TOKENS, ActivationCache
from byheart.memory.buckets import by_length
from byheart.model.adapter import Adapter
from byheart.model.split import SplitModel

SPREAD = 2.0
MOST_POSITIONS = 1024
_FEWEST_EACH = 8
_FAR = 10.0
_SMALLEST_SHARE = 1e-3


@torch.no_grad()
def point_at(adapter: Adapter, split_model: SplitModel, activations: ActivationCache, seed: int) -> None:
    """Gives the adapter's A its first weights from the records. Rows beyond the directions that the records have keep
    what they were drawn with.

    Args:
        adapter: fresh, not attached.
        split_model: cut at or below the adapter's lowest layer.
        activations: ``split_model.prefix`` of every record.
        seed: of the randomised decomposition.
    """
    inputs = _inputs(adapter, split_model, activations)
    with torch.random.fork_rng(devices=[]):  # svd_lowrank draws from the CPU's global generator
        torch.default_generator.manual_seed(seed)
        for lora_A, input_ND in zip(adapter.lora_A, inputs, strict=True):
            rows_RD = principal_rows(input_ND, adapter.placement.lora_rank)
            lora_A[: len(rows_RD)] = rows_RD.to(lora_A.device)


def principal_rows(input_ND: Tensor, num_rows: int) -> Tensor:
    """Orthogonal directions of largest variance, scaled as the module's docstring says; fewer than asked for where the
    inputs vary in fewer.

    Args:
        input_ND: fp32, on the CPU.
        num_rows: R.
    """
    if not len(input_ND):
        return input_ND
    size_N = input_ND.norm(dim=1)
    input_ND = input_ND[size_N < _FAR * size_N.median()]  # a sequence's first position often lies far from all others
    mean_D = input_ND.mean(0)
    num_rows = min(num_rows, len(input_ND) - 1, input_ND.shape[1])
    if num_rows < 1:
        return input_ND[:0]
    _, spread_R, direction_DR = torch.svd_lowrank(input_ND - mean_D, q=min(num_rows + 8, *input_ND.shape), niter=2)
    spread_R, row_RD = spread_R[:num_rows], direction_DR.T[:num_rows]
    enough_R = spread_R > _SMALLEST_SHARE * spread_R[0]
    spread_R, row_RD = spread_R[enough_R], row_RD[enough_R]
    if not len(row_RD):
        return row_RD
    towards_mean_D = mean_D / mean_D.norm().clamp_min(torch.finfo(mean_D.dtype).tiny)
    row_RD = row_RD - torch.outer(row_RD @ towards_mean_D, towards_mean_D)
    return row_RD * (SPREAD / (spread_R.square().mean() / len(input_ND)).sqrt())


def _inputs(adapter: Adapter, split_model: SplitModel, activations: ActivationCache) -> Iterator[Tensor]:
    """What each site of the adapter is given, at positions of records from all of the memory: input_ND by site."""
    lengths, records = activations.lengths, activations.memory.records
    chosen = range(0, len(lengths), max(1, len(lengths) * _FEWEST_EACH // MOST_POSITIONS))
    seen = [_Seen() for _ in adapter.placement.sites]
    # How many positions a site will be given is known beforehand, but for experts, who get what is sent to them: their
    # inputs are thinned at the end.
    num_own, num_answers = sum(lengths[i] for i in chosen), sum(len(records[i].answer_ids) for i in chosen)
    own_stride, read_stride = (max(1, num // MOST_POSITIONS) for num in (num_own, num_answers))
    for places in by_length([lengths[i] for i in chosen], PREFIX_BATCH_TOKENS, activations.num_shared):
        indices = [chosen[place] for place in places]
        batch, hidden = activations.batch(indices)
        layout = hidden.layout
        own_BT = torch.arange(layout.num_each) < torch.tensor([lengths[i] for i in indices])[:, None]
        own_N = own_BT.flatten().nonzero()[:, 0] + layout.num_shared
        num_all, num_read = layout.num_shared + layout.num_rows * layout.num_each, len(batch.predicting_A)
        # By how many positions a site is given: a last layer's MLP only those that are read.
        known = {num_read: (torch.arange(num_read), read_stride), num_all: (own_N, own_stride)}
        with _watched(adapter, split_model.model, partial(_keep, seen, known)):
            split_model.suffix(hidden, batch.predicting_A)
    for site, its in zip(adapter.placement.sites, seen, strict=True):
        # An expert that no record asks has no inputs.
        none_ND = torch.empty(0, site.num_in, dtype=split_model.model.dtype)
        input_ND = torch.cat([none_ND, *its.parts])
        its.parts.clear()
        yield input_ND[:: max(1, len(input_ND) // MOST_POSITIONS)].float()


@dataclass
class _Seen:
    """What a site was given, at every so many-th position.

    Attributes:
        parts: [N, D] each, on the CPU, in the model's dtype: in fp32 they would be learning's peak.
        num_given: positions, kept or not.
    """

    parts: list[Tensor] = field(default_factory=list)
    num_given: int = 0


def _keep(seen: list[_Seen], known: dict[int, tuple[Tensor, int]], site: int, input_BTD: Tensor) -> None:
    """Adds a site's input to what it has ``seen``: of so many positions, those that are ``known`` to count, and of them
    every so many-th; of any other number all.
    """
    flat_ND = input_BTD.flatten(0, -2)
    place_N, stride = known.get(len(flat_ND), (torch.arange(len(flat_ND)), 1))
    kept_N = place_N[-seen[site].num_given % stride :: stride]
    seen[site].num_given += len(place_N)
    seen[site].parts.append(flat_ND[kept_N].cpu())


@contextlib.contextmanager
def _watched(adapter: Adapter, model: nn.Module, keep: Callable[[int, Tensor], None]) -> Iterator[None]:
    """``model`` telling ``keep`` the input of every site, for the length of the block."""

    def watching(site: int) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        return lambda module, inputs: keep(site, inputs[0])

    handles = [
        model.get_submodule(site.path).register_forward_pre_hook(watching(index))
        for index, site in enumerate(adapter.placement.sites)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
