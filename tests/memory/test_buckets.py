import random

from hypothesis import given
from hypothesis import strategies as st

from byheart.memory.buckets import POOL_BATCHES, by_length, shuffled

lengths = st.lists(st.integers(1, 50), min_size=1, max_size=200)
batch_sizes = st.integers(1, 12)


def padded(batches: list[list[int]], lengths: list[int]) -> int:
    """Positions that hold no token."""
    return sum(max(lengths[i] for i in batch) - lengths[each] for batch in batches for each in batch)


@given(lengths, batch_sizes, st.integers())
def test_every_record_is_in_one_batch(lengths: list[int], batch_size: int, seed: int) -> None:
    batches = shuffled(range(len(lengths)), lengths, batch_size, random.Random(seed))
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))


@given(lengths, batch_sizes, st.integers())
def test_all_batches_but_the_last_are_full(lengths: list[int], batch_size: int, seed: int) -> None:
    batches = shuffled(range(len(lengths)), lengths, batch_size, random.Random(seed))
    assert {len(batch) for batch in batches[:-1]} <= {batch_size}
    assert 1 <= len(batches[-1]) <= batch_size


@given(lengths, batch_sizes, st.integers(), st.randoms())
def test_the_set_of_records_and_the_seed_decide_the_batches(
    lengths: list[int], batch_size: int, seed: int, rng: random.Random
) -> None:
    order = list(range(len(lengths)))
    first = shuffled(order, lengths, batch_size, random.Random(seed))
    rng.shuffle(order)
    assert shuffled(order, lengths, batch_size, random.Random(seed)) == first


def test_only_the_records_that_are_named_are_batched() -> None:
    batches = shuffled([7, 3, 5], list(range(10)), 2, random.Random(1))
    assert sorted(i for batch in batches for i in batch) == [3, 5, 7]


def test_sorting_in_pools_saves_more_than_half_of_the_padding() -> None:
    lengths = list(range(1, 101))
    order = list(range(100))
    for seed in range(20):
        random.Random(seed).shuffle(order)
        plain = [order[at : at + 10] for at in range(0, 100, 10)]
        assert padded(shuffled(order, lengths, 10, random.Random(seed)), lengths) < padded(plain, lengths) / 2


def test_no_pool_is_larger_than_eight_batches() -> None:
    """Else the same records would always be together, and an epoch would be by_length's own order."""
    lengths = list(range(10 * POOL_BATCHES))
    batches = shuffled(range(len(lengths)), lengths, 5, random.Random(1))
    assert {frozenset(batch) for batch in batches} != {frozenset(batch) for batch in by_length(lengths, 5 * 80)}
    assert max(max(batch) - min(batch) for batch in batches) > 5


def test_batches_come_in_any_order_of_length() -> None:
    firsts = {shuffled(range(40), list(range(40)), 5, random.Random(seed))[0][0] for seed in range(20)}
    assert len(firsts) > 3


def test_records_of_one_length_are_mixed_anew() -> None:
    together = {frozenset(shuffled(range(20), [3] * 20, 5, random.Random(seed))[0]) for seed in range(5)}
    assert len(together) == 5


def test_by_length_keeps_to_the_padded_tokens() -> None:
    assert list(by_length([5, 2, 2, 9], max_batch_tokens=6)) == [[1, 2], [0], [3]]


def test_rows_behind_a_long_shared_part_are_fewer() -> None:
    assert list(by_length([2] * 6, max_batch_tokens=10, num_shared=38)) == [[0, 1, 2, 3], [4, 5]]  # 16 · 10 / (38 + 2)
    assert list(by_length([2] * 6, max_batch_tokens=10, num_shared=0)) == [[0, 1, 2, 3, 4], [5]]
    assert list(by_length([2], max_batch_tokens=10, num_shared=999)) == [[0]]
