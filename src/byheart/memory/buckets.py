"""Records grouped by length, so that a batch carries little padding."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

MOST_ATTENDED = 16
"""Times a batch's tokens that its rows may attend to what they share."""
POOL_BATCHES = 8
"""Batches within which `shuffled` sorts: enough to leave little padding, few enough to mix the records anew."""


def by_length(lengths: Sequence[int], max_batch_tokens: int, num_shared: int = 0) -> Iterator[list[int]]:
    """Indices in order of length, cut into batches of at most ``max_batch_tokens`` padded tokens; at least one index
    each.

    Rows behind ``num_shared`` tokens run these once, but each attends to all of them: of its own and shared tokens
    together, a row at a time, a batch has at most `MOST_ATTENDED` times as many.

    >>> list(by_length([5, 2, 2, 9], max_batch_tokens=6))
    [[1, 2], [0], [3]]
    """
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: (lengths[i], i)):
        num_rows, attended = len(batch) + 1, num_shared + lengths[index]
        is_full = num_rows * lengths[index] > max_batch_tokens
        if batch and (is_full or num_rows * attended > MOST_ATTENDED * max_batch_tokens):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def by_parts(
    lengths: Sequence[tuple[int, int]], max_batch_tokens: int, max_tokens: int | None = None
) -> Iterator[list[int]]:
    """As `by_length`, for rows of two parts that are padded apart, such as prompts and what is generated after them: a
    row takes the batch's longest first part and longest second part.

    No batch's row is longer than ``max_tokens``, save that of one index alone.

    >>> list(by_parts([(5, 1), (1, 5), (2, 4)], max_batch_tokens=99, max_tokens=9))
    [[0], [1, 2]]
    """
    batch: list[int] = []
    first = second = 0
    for index in sorted(range(len(lengths)), key=lambda i: (sum(lengths[i]), i)):
        width = max(first, lengths[index][0]) + max(second, lengths[index][1])
        is_too_wide = max_tokens is not None and width > max_tokens
        if batch and (is_too_wide or (len(batch) + 1) * width > max_batch_tokens):
            yield batch
            batch, first, second = [], 0, 0
        first, second = max(first, lengths[index][0]), max(second, lengths[index][1])
        batch.append(index)
    if batch:
        yield batch


def shuffled(indices: Sequence[int], lengths: Sequence[int], batch_size: int, rng: random.Random) -> list[list[int]]:
    """Batches of records of similar length, in random order.

    The records are shuffled, sorted by length within pools of `POOL_BATCHES` batches, and cut into batches, which are
    shuffled again. All hold ``batch_size`` records but the last, which holds what is left over.

    Args:
        indices: the records, in any order.
        lengths: of all records of the memory, by index.
        batch_size: records a batch.
        rng: decides the order, together with nothing but the set of records.
    """
    order = sorted(indices)
    rng.shuffle(order)
    batches: list[list[int]] = []
    for start in range(0, len(order), POOL_BATCHES * batch_size):
        pool = sorted(order[start : start + POOL_BATCHES * batch_size], key=lambda i: lengths[i])
        batches += (pool[at : at + batch_size] for at in range(0, len(pool), batch_size))
    left_over = [batches.pop()] if len(order) % batch_size else []
    rng.shuffle(batches)
    return batches + left_over
