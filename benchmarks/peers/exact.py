"""The check: which records come back to the letter.

A greedy decode gives an answer back exactly when, with the answer itself as context, the target is the argmax at every
answer position, the end of the turn included: as long as nothing has gone wrong, both see the same context. So one
teacher-forced pass tells which records are right, at a fraction of a decode's price. A cached decode rounds a little
differently, hence the free run has the last word: it is made once the pass finds all records right.

Tensor names: B records, T positions, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig

BATCH_SIZE = 20


@torch.no_grad()
def right_by_argmax(model: Any, memory: Any) -> list[bool]:
    """Of each record, whether the argmax is the target at every answer position."""
    right: list[bool] = []
    for records in _batches(memory.records):
        rows = [r.prompt_ids + r.answer_ids for r in records]
        tokens_BT, mask_BT = _padded_left(rows, memory.pad_id, model.device)
        num_kept = 1 + max(len(record.answer_ids) for record in records)
        with _served(model):
            logits_BTV = model(
                input_ids=tokens_BT,
                attention_mask=mask_BT,
                position_ids=(mask_BT.cumsum(-1) - 1).clamp(min=0),
                logits_to_keep=num_kept,
                use_cache=False,
            ).logits
        chosen_BT = logits_BTV.argmax(-1)
        for record, chosen_T in zip(records, chosen_BT.tolist(), strict=True):
            right.append(tuple(chosen_T[-1 - len(record.answer_ids) : -1]) == tuple(record.answer_ids))
    return right


@torch.no_grad()
def exact_in_free_run(model: Any, memory: Any) -> bool:
    """Whether plain greedy decoding from every prompt gives its answer and then ends the turn."""
    for records in _batches(memory.records):
        rows = [record.prompt_ids for record in records]
        tokens_BT, mask_BT = _padded_left(rows, memory.pad_id, model.device)
        plain = GenerationConfig(
            do_sample=False,
            max_new_tokens=max(len(record.answer_ids) for record in records),
            eos_token_id=memory.stop_id,
            pad_token_id=memory.pad_id,
            use_cache=True,
        )
        with _served(model):
            output_BT = model.generate(input_ids=tokens_BT, attention_mask=mask_BT, generation_config=plain)
        for record, row in zip(records, output_BT[:, tokens_BT.shape[1] :].tolist(), strict=True):
            if tuple(row[: len(record.answer_ids)]) != tuple(record.answer_ids):
                return False
    return True


@contextmanager
def _served(model: Any) -> Iterator[None]:
    """PEFT keeps adapters in fp32; they are served as the base is, in bf16.

    The head is handed contiguous states: of a slice such as the last positions', torch copies the head's whole matrix
    once a row on a CPU, 57 MB each with SmolLM2, which would be the highest memory of all.
    """
    head = model.get_output_embeddings()
    handle = head.register_forward_pre_hook(lambda module, inputs: (inputs[0].contiguous(),))
    try:
        with torch.autocast(next(model.parameters()).device.type, dtype=torch.bfloat16):
            yield
    finally:
        handle.remove()


def _batches(records: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (records[at : at + BATCH_SIZE] for at in range(0, len(records), BATCH_SIZE))


def _padded_left(rows: Sequence[Sequence[int]], pad_id: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Token ids and attention mask."""
    longest = max(map(len, rows))
    tokens_BT = torch.tensor([[pad_id] * (longest - len(row)) + list(row) for row in rows], device=device)
    mask_BT = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows], device=device)
    return tokens_BT, mask_BT
