"""Encoded records → the tensors of one batch.

B records, T positions, A packed answer tokens (of all the batch's records, by record, then by position).

Rows are padded on the right. A causal model never looks to the right of a position, so no padding is ever seen from a
prompt or an answer, and no attention mask is needed: what a model computes at padded positions is for nobody.
"""

# ruff: noqa: N802 - tensor names carry their shapes in capitals, as fields and properties too

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from byheart.memory.encode import EncodedRecord


@dataclass(frozen=True)
class MemoryBatch:
    """Records side by side.

    Attributes:
        tokens_BT: int64, prompt ids, answer ids, padding.
        answer_mask_BT: bool, True where ``tokens_BT`` holds a token of the answer.
        record_ids: of the rows, in order.
    """

    tokens_BT: Tensor
    answer_mask_BT: Tensor
    record_ids: tuple[str, ...]

    @cached_property
    def predicting_BT(self) -> Tensor:
        """bool, True at the positions whose logits predict an answer token: each one's left neighbour.

        Logits taken at these positions are packed in the order of `target_A`.
        """
        return torch.nn.functional.pad(self.answer_mask_BT[:, 1:], (0, 1), value=False)

    @cached_property
    def target_A(self) -> Tensor:
        """int64, the answer tokens packed: what is to be predicted."""
        return self.tokens_BT[self.answer_mask_BT]

    @cached_property
    def record_A(self) -> Tensor:
        """int64, the row that each packed token is of."""
        return self.answer_mask_BT.nonzero()[:, 0]

    @cached_property
    def position_A(self) -> Tensor:
        """int64, the index of each packed token within its own answer, from 0."""
        return (self.answer_mask_BT.cumsum(1) - 1)[self.answer_mask_BT]

    def to(self, device: torch.device | str) -> MemoryBatch:
        """The same batch on another device."""
        return MemoryBatch(self.tokens_BT.to(device), self.answer_mask_BT.to(device), self.record_ids)


def collate(records: Sequence[EncodedRecord], pad_id: int) -> MemoryBatch:
    """A batch of ``records``, in their order, as wide as the longest of them.

    Args:
        records: at least one, each with a prompt of at least one token: nothing predicts a row's first.
        pad_id: what to fill shorter rows with, any id of the vocabulary.

    Raises:
        ValueError: there is no record, or one has no prompt ids.
    """
    if not records:
        raise ValueError("a batch needs at least one record")
    if empty := [record.id for record in records if not record.prompt_ids]:
        raise ValueError(f"records without prompt ids cannot be learnt, as nothing predicts their first token: {empty}")
    num_positions = max(record.num_tokens for record in records)
    tokens_BT = torch.full((len(records), num_positions), pad_id, dtype=torch.int64)
    answer_mask_BT = torch.zeros((len(records), num_positions), dtype=torch.bool)
    for row, record in enumerate(records):
        tokens_BT[row, : record.num_tokens] = torch.tensor(record.prompt_ids + record.answer_ids)
        answer_mask_BT[row, len(record.prompt_ids) : record.num_tokens] = True
    return MemoryBatch(tokens_BT, answer_mask_BT, tuple(record.id for record in records))
