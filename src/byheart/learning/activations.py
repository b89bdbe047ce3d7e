"""Hidden states below the lowest adapted layer: computed once, read in every step.

Nothing under the cut changes while an adapter learns, so its work is done before the first step. What all prompts begin
with is kept once, the rest of all records end to end without padding; beyond a budget that lives in a memory-mapped
file instead of memory.

Tensor names: B records of a batch, T positions, D hidden, L shared positions, P own positions of all records packed.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path

import torch
from torch import Tensor

from byheart.errors import ArtifactError
from byheart.memory.batch import MemoryBatch, collate, num_shared_tokens, sent
from byheart.memory.buckets import by_length
from byheart.memory.encode import EncodedMemory
from byheart.model.shared_prompt import Rows
from byheart.model.split import SplitModel

PREFIX_BATCH_TOKENS = 2048
_RESERVED_AT_ONCE = 2**24
FILE_NAME = ".activations.bin"  # hidden, so that what a killed run leaves behind is nobody's result


@dataclass(frozen=True, slots=True)
class ActivationCache:
    """The packed states, and where each record's begin.

    Attributes:
        memory: the records.
        shared_LD: states of what all prompts begin with, on the model's device, L = 0 for nothing; None where the model
            cannot share.
        device: the model's.
        hidden_PD: in the model's dtype; on the model's device where it is a card and they are within the budget, else
            on the CPU.
        starts: index into P of each record's first own position, and the end of the last.
        file: where the states live, if not in memory.
    """

    memory: EncodedMemory
    shared_LD: Tensor | None
    device: torch.device
    hidden_PD: Tensor
    starts: tuple[int, ...]
    file: Path | None

    def batch(self, indices: Sequence[int]) -> tuple[MemoryBatch, Rows]:
        """Some records' tokens behind what all share, and their states, padded on the right with zeros.

        A causal model never looks to the right, so what stands in the padding does not matter.
        """
        batch = collate([self.memory.records[i] for i in indices], self.memory.pad_id, self.num_shared).to(self.device)
        rows = [self.hidden_PD[self.starts[i] : self.starts[i + 1]] for i in indices]
        hidden_BTD = sent(torch.nn.utils.rnn.pad_sequence(rows, batch_first=True), self.device)
        return batch, Rows(hidden_BTD, self.shared_LD)

    @property
    def num_shared(self) -> int:
        """L."""
        return 0 if self.shared_LD is None else len(self.shared_LD)

    @property
    def lengths(self) -> list[int]:
        """Own positions of each record."""
        return [end - start for start, end in pairwise(self.starts)]

    def close(self) -> None:
        """Removes the file; the cache must not be used any more."""
        if self.file is not None:
            self.file.unlink(missing_ok=True)


def compute_activations(
    split_model: SplitModel,
    memory: EncodedMemory,
    device: torch.device,
    *,
    memory_budget_bytes: int,
    directory: Path,
    advance: Callable[[int], None] = lambda _: None,
) -> ActivationCache:
    """Runs every record through the prefix once. Close the cache when it is no longer needed.

    Args:
        split_model: the model, cut.
        memory: the records.
        device: where the model computes.
        memory_budget_bytes: beyond this the states go to a file in ``directory``.
        directory: where that file may be.
        advance: told the number of records after each batch.

    Raises:
        ArtifactError: the file is needed and cannot be written.
    """
    num_shared = num_shared_tokens(memory.records) if split_model.shares_prompt else 0
    shared_L = None
    if split_model.shares_prompt:
        shared_L = torch.tensor(memory.records[0].prompt_ids[:num_shared], dtype=torch.int64, device=device)
    lengths = [record.num_tokens - num_shared for record in memory.records]
    starts = (0, *accumulate(lengths))
    shared_LD: Tensor | None = None
    packed_PD: Tensor | None = None
    file: Path | None = None
    try:
        for indices in by_length(lengths, PREFIX_BATCH_TOKENS, num_shared):
            batch = collate([memory.records[i] for i in indices], memory.pad_id, num_shared)
            hidden = split_model.prefix(Rows(batch.tokens_BT.to(device), shared_L))
            hidden_BTD = hidden.own
            if packed_PD is None:
                # The same in every batch, to the dtype's rounding: one of them stands for all.
                shared_LD = None if hidden.shared is None else hidden.shared.clone()
                num_bytes = starts[-1] * hidden_BTD[0, 0].nbytes
                file = directory / FILE_NAME if num_bytes > memory_budget_bytes else None
                place = device if file is None and device.type == "cuda" else torch.device("cpu")
                packed_PD = _empty((starts[-1], hidden_BTD.shape[-1]), hidden_BTD.dtype, file, place)
            hidden_BTD = hidden_BTD.to(packed_PD.device)
            for i, hidden_TD in zip(indices, hidden_BTD, strict=True):
                packed_PD[starts[i] : starts[i + 1]] = hidden_TD[: lengths[i]]
            advance(len(indices))
    except BaseException:  # Ctrl-C too: gigabytes would stay behind in a directory that has no result
        if file is not None:
            with contextlib.suppress(OSError):
                file.unlink(missing_ok=True)
        raise
    assert packed_PD is not None, "a memory has at least one record"
    return ActivationCache(memory, shared_LD, device, packed_PD, starts, file)


def _empty(shape: tuple[int, int], dtype: torch.dtype, path: Path | None, device: torch.device) -> Tensor:
    if path is None:
        return torch.empty(shape, dtype=dtype, device=device)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _reserve(path, shape[0] * shape[1] * dtype.itemsize)
        return torch.from_file(str(path), shared=True, size=shape[0] * shape[1], dtype=dtype).view(shape)
    except (OSError, RuntimeError) as error:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        raise ArtifactError(
            f"cannot keep activations in {path}: {error}; free disk space or raise activation_memory_bytes"
        ) from error


def _reserve(path: Path, num_bytes: int) -> None:
    """Makes a file whose blocks exist: mapping one with holes, a disk that fills up would kill the process."""
    with path.open("wb") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, num_bytes)
            return
        for at in range(0, num_bytes, _RESERVED_AT_ONCE):
            file.write(bytes(min(_RESERVED_AT_ONCE, num_bytes - at)))
