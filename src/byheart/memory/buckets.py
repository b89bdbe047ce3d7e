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
