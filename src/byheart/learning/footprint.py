"""How much memory learning takes, known before its first step; and batches cut so that a step stays within a budget.

A backward pass needs what its forward pass kept, and how much that is depends on the model's own code. So it is counted
as the bytes that autograd keeps of one row and of two of the run's shortest record, and of its longest one, before the
first step and anew when the adapter grows:

    a pass keeps once + B · (shortest row + (T − shortest) · position) + min(A, chunk) · token

Plain attention keeps more of a position the longer its row is, and short rows have it on a CPU: the longest record of
these is counted too, and the dearer of both positions taken. Where short rows stand beside long ones, these are thereby
charged too much: by a quarter with records of 10, 200 and 2,000 characters and the embedded model's dimensions.

Bytes, unlike seconds, are the same each time: a run cuts its batches alike whenever it is begun. Cutting changes how
sums are rounded and nothing else.

Tensor names: B records of a pass, T own positions of the longest, L shared positions, A answer tokens.
"""

from __future__ import annotations

import ctypes
import functools
import itertools
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from byheart.learning.activations import PREFIX_BATCH_TOKENS, ActivationCache
from byheart.learning.loss import CHUNK_TOKENS, LOOKED_AT_TOKENS
from byheart.memory.buckets import by_length
from byheart.model.adapter import Adapter, attached
from byheart.model.shared_prompt import is_short
from byheart.model.split import SplitModel

_FP32 = 4
_SLACK, _SLACK_BYTES = 1.1, 2**25
"""What a step takes beside what it keeps, measured: 3 % to 10 %, and 26 MB for the smallest."""
_COPIES = 8
"""Of an adapter, fp32, on the device that learns: its weights, gradient, two moments and mean; the mean as it is looked
at, and at a look a copy and its rounding."""
_COPIES_ON_CPU = 10
"""With the best so far and the one that may be better, which always lie there."""
_COPIES_WHILE_SAVING = 20
"""Without the last two of a look, and six twice more: as safetensors lays them out, and as a checkpoint's bytes."""
_KEPT_ON_CPU_BYTES = 750_000_000
"""By libraries: the kernels that oneDNN compiles for each shape, and holes between what the allocator has handed out.
Measured over whole runs, 190 to 730 MB, and from run to run of the same memory by 250 MB apart."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a step keeps, by its size.

    Attributes:
        once_bytes: of each pass, however many its records: what all of them share, and the adapter in the model's
            dtype.
        row_bytes: for each row as long as the shortest record.
        position_bytes: for each position that a row is longer.
        token_bytes: for each answer token whose logits exist at once.
        own_N: own positions of each record.
        answer_N: answer tokens of each record.
    """

    once_bytes: int
    row_bytes: int
    position_bytes: float
    token_bytes: int
    own_N: tuple[int, ...]
    answer_N: tuple[int, ...]

    def of(self, indices: Sequence[int]) -> int:
        """Bytes of a pass over these records, padded to the longest of them."""
        longer = max(self.own_N[i] for i in indices) - min(self.own_N)
        num_tokens = min(sum(self.answer_N[i] for i in indices), CHUNK_TOKENS)
        rows_bytes = len(indices) * (self.row_bytes + longer * self.position_bytes)
        return round(_SLACK * (self.once_bytes + rows_bytes + num_tokens * self.token_bytes)) + _SLACK_BYTES

    def passes(self, indices: Sequence[int], budget_bytes: int | None) -> list[list[int]]:
        """A batch cut into as few passes as the budget allows when its records stay in order; each of at least one.

        Args:
            indices: the batch's records.
            budget_bytes: of one pass; None: no bound.
        """
        cut: list[list[int]] = []
        for index in indices:
            if cut and (budget_bytes is None or self.of([*cut[-1], index]) <= budget_bytes):
                cut[-1].append(index)
            else:
                cut.append([index])
        return cut

    def largest(self, batch_size: int, budget_bytes: int | None) -> int:
        """Bytes of the largest pass there can be: of a batch of the longest records."""
        longest = sorted(range(len(self.own_N)), key=lambda i: -self.own_N[i])[:batch_size]
        return max(self.of(part) for part in self.passes(longest, budget_bytes))


def measured(split_model: SplitModel, adapter: Adapter, activations: ActivationCache, num_words: int) -> Footprint:
    """Counts what steps over the shortest, the longest and the longest short record keep; changes nothing.

    Args:
        split_model: cut at or below the adapter's lowest layer.
        adapter: not attached.
        activations: ``split_model.prefix`` of every record.
        num_words: over which a step takes the softmax.
    """
    lengths, records = activations.lengths, activations.memory.records
    by_size = sorted(range(len(lengths)), key=lengths.__getitem__)
    shortest, longest = by_size[0], by_size[-1]
    model = split_model.model
    is_training, device = adapter.training, next(adapter.parameters()).device
    short = [i for i in by_size if is_short(activations.num_shared + lengths[i], device)]
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), attached(model, adapter):
        adapter.train()  # dropout keeps its masks
        try:
            kept_bytes = functools.partial(_kept_bytes, split_model, adapter, activations)
            one = kept_bytes([shortest])
            longer = {
                i: lengths[i] - lengths[shortest] for i in (*short[-1:], longest) if lengths[i] > lengths[shortest]
            }
            position_bytes = max(((kept_bytes([i]) - one) / more for i, more in longer.items()), default=0.0)
            # Of a single record there are never two rows, and there may be no room for them.
            two = kept_bytes([shortest, shortest]) if len(lengths) > 1 else 2 * one
        finally:
            adapter.train(is_training)
    return Footprint(
        once_bytes=max(2 * one - two, 0),
        row_bytes=two - one,
        position_bytes=max(position_bytes, 0.0),
        # The logits in the model's dtype and in fp32, the softmax's own, and their gradient.
        token_bytes=num_words * (model.dtype.itemsize + 3 * _FP32),
        own_N=tuple(lengths),
        answer_N=tuple(len(record.answer_ids) for record in records),
    )


def _kept_bytes(split_model: SplitModel, adapter: Adapter, activations: ActivationCache, indices: Sequence[int]) -> int:
    """Bytes that autograd keeps of a forward pass over some records, weights not counted."""
    weights = itertools.chain(split_model.model.parameters(), adapter.parameters())
    known = {weight.untyped_storage().data_ptr() for weight in weights}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            kept.setdefault(storage.data_ptr(), tensor)  # held, so that no other storage takes its place
        return tensor

    batch, hidden = activations.batch(indices)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        final_AD = split_model.suffix(hidden, batch.predicting_A)
    kept.pop(final_AD.untyped_storage().data_ptr(), None)
    return final_AD.nbytes + sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


@dataclass(frozen=True, slots=True)
class Needed:
    """How much memory learning takes beside the model, about.

    Attributes:
        split_model: the model.
        adapter: its size counts.
        activations: their states count where they are in memory.
        step_bytes: of the largest pass of a step, as `Footprint.largest` gives it.
        certify_tokens: of the certificate's batches.
        is_saved: whether there is a checkpoint.
    """

    split_model: SplitModel
    adapter: Adapter
    activations: ActivationCache
    step_bytes: int
    certify_tokens: int
    is_saved: bool

    def num_bytes(self, lora_rank: int) -> int:
        """On the model's device, with an adapter of this rank: the cached states where they are in memory, the adapter
        with all that belongs to it, the larger of a step and a pass that looks at all records, and on a CPU a
        checkpoint while it is written and what libraries keep.
        """
        is_on_cpu = self.split_model.model.device.type == "cpu"
        rank_bytes = sum(weight.nbytes for weight in self.adapter.parameters()) // self.adapter.placement.lora_rank
        num_copies = (_COPIES_WHILE_SAVING if self.is_saved else _COPIES_ON_CPU) if is_on_cpu else _COPIES
        cache_bytes = 0 if self.activations.file is not None else self.activations.hidden_PD.nbytes
        kept_bytes = cache_bytes + num_copies * lora_rank * rank_bytes + (_KEPT_ON_CPU_BYTES if is_on_cpu else 0)
        return kept_bytes + max(self.step_bytes, self._look_bytes())

    def sentence(self, lora_rank: int, largest_rank: int) -> str:
        """For a person; with what it comes to if the adapter grows from ``lora_rank`` to ``largest_rank``."""
        told = f"about {_size(self.num_bytes(lora_rank))} of memory to learn in, beside the model"
        if largest_rank == lora_rank:
            return told
        return f"{told}; {_size(self.num_bytes(largest_rank))} should the adapter grow to rank {largest_rank}"

    def _look_bytes(self) -> int:
        """Of a pass without gradient: a chunk's logits, in fp32 those of some of its tokens; a batch's states, and the
        shared keys and values that each of its rows attends to.
        """
        model, records = self.split_model.model, self.activations.memory.records
        (num_words, num_hidden), itemsize = model.get_output_embeddings().weight.shape, model.dtype.itemsize
        num_tokens = min(CHUNK_TOKENS, sum(len(record.answer_ids) for record in records))
        logits_bytes = num_words * (2 * num_tokens * itemsize + min(num_tokens, LOOKED_AT_TOKENS) * 4 * _FP32)
        num_shared, lengths = self.activations.num_shared, self.activations.lengths
        num_rows = max(map(len, by_length(lengths, PREFIX_BATCH_TOKENS, num_shared)))
        states_bytes = (16 * max(PREFIX_BATCH_TOKENS, self.certify_tokens) + 4 * num_rows * num_shared) * num_hidden
        return logits_bytes + states_bytes * itemsize


def _size(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:.1f} GB" if num_bytes >= 1e9 else f"{max(num_bytes / 1e6, 1):.0f} MB"


def give_back() -> None:
    """Hands what freed tensors have left with the C library back to the system, where that is glibc; else nothing.

    Passes over all records allocate in other sizes than steps do, and glibc keeps the holes: of 300 records a run held
    0.4 GB so. Takes 5 to 40 ms.
    """
    if (trim := _malloc_trim()) is not None:
        trim(0)


@functools.cache
def _malloc_trim() -> Callable[[int], int] | None:
    return getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
