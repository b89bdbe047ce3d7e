import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load
from scipy.stats import spearmanr

from byheart.paper.dynamics import claim, pairs, records, spearman
from reproductions_for_tests import tokens_of


def of(*probabilities, failures=()):
    return records(load(tokens_of(*probabilities, failures=failures)))


def test_tokens_come_apart_by_record():
    first, second = of([0.9, 0.45], [0.8, 0.7, 0.1])
    assert first.p_T == pytest.approx([0.9, 0.45])
    assert second.p_T == pytest.approx([0.8, 0.7, 0.1])
    assert (first.earliest_stubborn, first.first_failure) == (1, None)
    assert (second.earliest_stubborn, second.first_failure) == (2, 2)


def test_the_claim_is_counted():
    counted = claim(of([0.9, 0.45, 0.1], [0.6]))
    assert (counted.num_positions, counted.num_above, counted.num_counterexamples) == (4, 2, 0)
    assert counted.num_argmax_below == 1


def test_a_counterexample_would_be_found():
    tokens = load(tokens_of([0.9, 0.8]))
    tokens["token_rank"] = np.array([1, 2], np.int32)
    assert claim(records(tokens)).num_counterexamples == 1


def test_one_half_is_not_above_one_half():
    assert claim(of([0.5])).num_above == 0


def test_a_failure_before_the_first_stubborn_token_is_counted():
    assert claim(of([0.9, 0.9, 0.3], [0.9, 0.9], failures=[1, None])).num_early_failures == 1
    assert claim(of([0.9, 0.9, 0.3], failures=[2])).num_early_failures == 0


def test_pairs_are_of_records_that_have_both():
    assert pairs(of([0.9, 0.45, 0.1], [0.9], [0.45, 0.9])) == [(1, 2)]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=3, max_size=40))
def test_spearman_is_scipys(both):
    first, second = zip(*both, strict=True)
    found = spearman(both)
    if len(set(first)) == 1 or len(set(second)) == 1:
        assert found is None
    else:
        assert found == pytest.approx(spearmanr(first, second)[0], abs=1e-9)


def test_two_pairs_have_no_correlation():
    assert spearman([(1, 2), (2, 3)]) is None
