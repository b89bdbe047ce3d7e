"""The free run: greedy decoding from the prompt alone, as any engine would do it, with transformers' own `generate` and
its cache.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from byheart.memory.buckets import by_parts
from byheart.memory.encode import EncodedMemory
from byheart.model.base import Base
from byheart.model.generation import generate_greedily


def free_run(
    base: Base, memory: EncodedMemory, max_batch_tokens: int, advance: Callable[[int], None] = lambda _: None
) -> list[list[int]]:
    """What greedy decoding gives for each prompt, in the memory's order.

    Args:
        base: with the adapter attached by the caller.
        memory: prompts, and the lengths of the answers.
        max_batch_tokens: padded tokens of a batch, at most, its longest prompt and longest answer beside each other.
        advance: told the number of records after each batch.

    Returns:
        Token ids by record, at most as many as its answer has; fewer where the end of turn came early (it is included).
    """
    runs: dict[int, list[int]] = {}
    lengths = [(len(record.prompt_ids), len(record.answer_ids)) for record in memory.records]
    for indices in by_parts(lengths, max_batch_tokens, base.max_tokens):
        records = [memory.records[i] for i in indices]
        num_new = max(len(record.answer_ids) for record in records)
        stop_id = memory.stop_id if memory.learn_end else None
        generated = greedy(base, [record.prompt_ids for record in records], num_new, stop_id, memory.pad_id)
        for index, record, ids in zip(indices, records, generated, strict=True):
            runs[index] = ids[: len(record.answer_ids)]
        advance(len(indices))
    return [runs[index] for index in range(len(memory.records))]


def greedy(
    base: Base,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int,
    stop_id: int | None,
    pad_id: int,
) -> list[list[int]]:
    """Greedy continuation of each prompt, padded on the left within the batch.

    Returns:
        New token ids by prompt, up to and including ``stop_id``.
    """
    longest = max(len(prompt) for prompt in prompts)
    tokens_BT = torch.full((len(prompts), longest), pad_id)
    attention_mask_BT = torch.zeros_like(tokens_BT)
    for row, prompt in enumerate(prompts):
        tokens_BT[row, longest - len(prompt) :] = torch.tensor(prompt)
        attention_mask_BT[row, longest - len(prompt) :] = 1
    continuations = generate_greedily(
        base.model,
        tokens_BT.to(base.device),
        attention_mask_BT.to(base.device),
        max_new_tokens=max_new_tokens,
        stop_id=stop_id,
        pad_id=pad_id,
    )
    return [_until(stop_id, ids) for ids in continuations]


def _until(stop_id: int | None, ids: list[int]) -> list[int]:
    return ids[: ids.index(stop_id) + 1] if stop_id in ids else ids
