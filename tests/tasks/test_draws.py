from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from byheart.tasks.draws import Draws


@given(st.integers(0, 300), st.integers(0, 2**31 - 1))
def test_an_order_has_every_number_once(number, seed):
    assert sorted(Draws("any", seed).order(number)) == list(range(number))


def test_draws_are_the_same_today_and_tomorrow():
    """Values noted once: a memory made from them must never change under a cell that was measured."""
    draws = Draws("phonebook names", 42)
    assert [draws.below(1000) for _ in range(2)] == [113, 253]
    assert list(islice(Draws("phonebook names", 42).order(10**6), 3)) == [113945, 253708, 242249]


def test_purposes_and_seeds_have_streams_of_their_own():
    streams = [Draws(purpose, seed) for purpose in ("a", "b") for seed in (1, 2)]
    assert len({tuple(stream.below(10**9) for _ in range(4)) for stream in streams}) == 4


def test_every_number_below_the_bound_is_as_likely_as_the_others():
    draws = Draws("any", 0)
    counts = [0] * 5
    for _ in range(5000):
        counts[draws.below(5)] += 1
    assert all(900 < count < 1100 for count in counts)  # 3.5 standard deviations


def test_every_number_is_as_likely_to_come_first():
    counts = [0] * 5
    for seed in range(2000):
        counts[next(Draws("any", seed).order(5))] += 1
    assert all(330 < count < 470 for count in counts)  # 4 standard deviations
