"""Hidden states below the lowest adapted layer: computed once, read in every step.

Nothing under the cut changes while an adapter learns, so its work is done before the first step. The states of all records are packed end to
end without padding; beyond a budget they live in a memory-mapped file instead of memory.

Tensor names: B records of a batch, T positions, D hidden, P positions of all records packed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from byheart.errors import ArtifactError
from byheart.memory.batch import collate
from byheart.memory.buckets import by_length
from byheart.memory.encode import EncodedMemory, EncodedRecord

PREFIX_BATCH_TOKENS = 2048
FILE_NAME = "activations.bin"


@dataclass(frozen=True, slots=True)
class ActivationCache:
    """The packed states, and where each record's begin.

    Attributes:
        hidden_PD: in the model's dtype, on the CPU.
        starts: index into P of each record's first position, and the end of the last.
    """

    hidden_PD: Tensor
    starts: tuple[int, ...]

    def batch(self, indices: Sequence[int], device: torch.device) -> Tensor:
        """hidden_BTD of some records, padded on the right with zeros.

        A causal model never looks to the right, so what stands in the padding does not matter.
        """
        rows = [self.hidden_PD[self.starts[i] : self.starts[i + 1]] for i in indices]
        return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).to(device)


@contextlib.contextmanager
def cached_activations(
    prefix: Callable[[Tensor], Tensor],
    memory: EncodedMemory,
    device: torch.device,
    *,
    memory_budget_bytes: int,
    directory: Path | None = None,
    advance: Callable[[int], None] = lambda _: None,
) -> Iterator[ActivationCache]:
    """Runs every record through ``prefix`` once.

    Args:
        prefix: tokens_BT → hidden_BTD.
        memory: the records.
        device: where ``prefix`` computes.
        memory_budget_bytes: beyond this the states go to a file in ``directory``, which is removed when the block ends.
        directory: where that file may be.
        advance: told the number of records after each batch.

    Raises:
        ArtifactError: the file is needed and cannot be written.
    """
    records = memory.records
    lengths = [_num_tokens(record) for record in records]
    starts = [0]
    for length in lengths:
        starts.append(starts[-1] + length)
    packed: Tensor | None = None
    path = directory / FILE_NAME if directory is not None else None
    try:
        for indices in by_length(lengths, PREFIX_BATCH_TOKENS):
            tokens_BT = collate([records[i] for i in indices], memory.pad_id).tokens_BT.to(device)
            hidden_BTD = prefix(tokens_BT).cpu()
            if packed is None:
                shape = (starts[-1], hidden_BTD.shape[-1])
                num_bytes = shape[0] * shape[1] * hidden_BTD.element_size()
                packed = _empty(shape, hidden_BTD.dtype, path if num_bytes > memory_budget_bytes else None)
            for i, hidden_TD in zip(indices, hidden_BTD, strict=True):
                packed[starts[i] : starts[i + 1]] = hidden_TD[: lengths[i]]
            advance(len(indices))
        assert packed is not None, "a memory has at least one record"
        yield ActivationCache(packed, tuple(starts))
    finally:
        del packed
        if path is not None:
            path.unlink(missing_ok=True)


def _num_tokens(record: EncodedRecord) -> int:
    return len(record.prompt_ids) + len(record.answer_ids)


def _empty(shape: tuple[int, int], dtype: torch.dtype, path: Path | None) -> Tensor:
    if path is None:
        return torch.empty(shape, dtype=dtype)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return torch.from_file(str(path), shared=True, size=shape[0] * shape[1], dtype=dtype).view(shape)
    except (OSError, RuntimeError) as error:
        raise ArtifactError(f"cannot keep activations in {path}: {error}; free disk space or raise activation_memory_bytes") from error
