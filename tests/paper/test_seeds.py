import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import t

from byheart.paper.seeds import over_seeds


@given(st.lists(st.floats(0, 100), min_size=2, max_size=10))
def test_the_interval_is_students(values):
    assume(min(values) < max(values))
    mean = over_seeds(values)
    expected = sum(values) / len(values)
    spread = math.sqrt(sum((value - expected) ** 2 for value in values) / (len(values) - 1) / len(values))
    half = t.ppf(0.975, len(values) - 1) * spread
    assert mean.value == pytest.approx(expected)
    assert mean.high is not None
    assert mean.high - mean.value == pytest.approx(half, rel=1e-3, abs=1e-9)
    assert mean.num_seeds == len(values)


def test_one_seed_has_no_interval():
    assert (over_seeds([3.0]).low, over_seeds([3.0]).high) == (None, None)


def test_seeds_that_all_agree_have_none_either():
    mean = over_seeds([96.7] * 3, 0, 100)
    assert (mean.low, mean.high, mean.num_seeds) == (None, None, 3)


def test_shares_stay_within_their_bounds():
    mean = over_seeds([99.0, 100.0], 0, 100)
    assert mean.high == 100
    assert mean.low == pytest.approx(99.5 - 12.706 * 0.5, rel=1e-3)


def test_more_seeds_than_the_table_has_give_no_narrower_interval_than_they_should():
    values = [float(value % 3) for value in range(20)]
    mean = over_seeds(values)
    spread = math.sqrt(sum((value - mean.value) ** 2 for value in values) / 19 / 20)
    assert mean.high is not None
    assert mean.high - mean.value >= t.ppf(0.975, 19) * spread
