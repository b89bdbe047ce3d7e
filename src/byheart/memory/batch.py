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
    def predicting_A(self) -> Tensor:
        """int64, the same positions, of all rows laid end to end."""
        return self.predicting_BT.flatten().nonzero()[:, 0]

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
        """The same batch on another device, with what is packed of it: looked for there, each search of a mask would
        make Python wait for a card.
        """
        moved = MemoryBatch(sent(self.tokens_BT, device), sent(self.answer_mask_BT, device), self.record_ids)
        for name in ("predicting_A", "target_A", "record_A", "position_A"):
            moved.__dict__[name] = sent(getattr(self, name), device)
        return moved


def sent(tensor: Tensor, device: torch.device | str) -> Tensor:
    """``tensor`` on ``device``; to a card from pinned memory, so that Python does not wait for what the card still has
    to do.
    """
    if torch.device(device).type != "cuda" or tensor.device.type != "cpu":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def num_shared_tokens(records: Sequence[EncodedRecord]) -> int:
    """How many tokens all prompts begin with alike; the last token of a prompt is never counted, so that every record
    keeps a position that predicts its answer's first token.
    """
    first, last = min(record.prompt_ids for record in records), max(record.prompt_ids for record in records)
    alike = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    return min(alike, min(len(record.prompt_ids) for record in records) - 1)


def collate(records: Sequence[EncodedRecord], pad_id: int, num_shared: int = 0) -> MemoryBatch:
    """A batch of ``records``, in their order, as wide as the longest of them.

    Args:
        records: at least one, each with a prompt of at least one token: nothing predicts a row's first.
        pad_id: what to fill shorter rows with, any id of the vocabulary.
        num_shared: tokens left out at the front of every record, less than any prompt has.

    Raises:
        ValueError: there is no record, or one has no prompt ids.
    """
    if not records:
        raise ValueError("a batch needs at least one record")
    if empty := [record.id for record in records if not record.prompt_ids]:
        raise ValueError(f"records without prompt ids cannot be learnt, as nothing predicts their first token: {empty}")
    num_positions = max(record.num_tokens for record in records) - num_shared
    tokens_BT = torch.full((len(records), num_positions), pad_id, dtype=torch.int64)
    answer_mask_BT = torch.zeros((len(records), num_positions), dtype=torch.bool)
    for row, record in enumerate(records):
        num_own, num_prompt = record.num_tokens - num_shared, len(record.prompt_ids) - num_shared
        tokens_BT[row, :num_own] = torch.tensor((record.prompt_ids + record.answer_ids)[num_shared:])
        answer_mask_BT[row, num_prompt:num_own] = True
    return MemoryBatch(tokens_BT, answer_mask_BT, tuple(record.id for record in records))
