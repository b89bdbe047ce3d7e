"""Records grouped by length, so that a batch carries little padding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence


def by_length(lengths: Sequence[int], max_batch_tokens: int) -> Iterator[list[int]]:
    """Indices in order of length, cut into batches of at most ``max_batch_tokens`` padded tokens; at least one index
    each.

    >>> list(by_length([5, 2, 2, 9], max_batch_tokens=6))
    [[1, 2], [0], [3]]
    """
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: (lengths[i], i)):
        if batch and (len(batch) + 1) * lengths[index] > max_batch_tokens:
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
