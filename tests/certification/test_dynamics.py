import doctest

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from byheart.certification import dynamics
from byheart.certification.certificate import Certificate, Failure, Numerics, RecordCertificate, Subject
from byheart.certification.dynamics import Bin, Dynamics, RecordDynamics, dynamics_of, spearman

numbers = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=3, max_size=30)


def record(p, ranks=None, failure=None) -> RecordDynamics:
    return RecordDynamics(
        p=p, token_rank=ranks or [1 if each > 0.4 else 2 for each in p], first_failure_position=failure
    )


@given(numbers)
def test_spearman_is_scipys(pairs):
    first, second = zip(*pairs, strict=True)
    mine = spearman(first, second)
    if len(set(first)) == 1 or len(set(second)) == 1:
        assert mine is None
    else:
        assert mine == pytest.approx(stats.spearmanr(first, second)[0], abs=1e-12)


def test_too_few_pairs_have_no_correlation():
    assert spearman([1, 2], [1, 2]) is None


def test_a_correlation_takes_pairs():
    with pytest.raises(ValueError, match="3 and 2 numbers"):
        spearman([1, 2, 3], [1, 2])


def test_one_half_itself_is_stubborn():
    assert record([0.9, 0.5, 0.51, 0.1]).stubborn_positions == (1, 3)
    assert record([0.9, 0.51]).earliest_stubborn_position is None


def test_the_claim_counts_what_was_measured_on_both_sides():
    claim = Dynamics((record([0.9, 0.6, 0.5, 0.45], [1, 1, 1, 2]), record([0.2, 0.7], [1, 1]))).claim
    assert (claim.num_above, claim.num_above_not_argmax) == (3, 0)
    assert (claim.num_stubborn, claim.num_stubborn_argmax) == (3, 2)
    assert claim.holds


def test_the_claim_can_fail():
    claim = Dynamics((record([0.9, 0.6], [1, 2]),)).claim
    assert claim.num_above_not_argmax == 1
    assert not claim.holds


@given(st.lists(st.lists(st.floats(-8, 8, width=32), min_size=2, max_size=6), min_size=1, max_size=8), st.data())
def test_the_claim_holds_for_every_softmax(rows, data):
    p: list[float] = []
    ranks: list[int] = []
    for row in rows:
        target = data.draw(st.integers(0, len(row) - 1))
        shares = np.exp(np.array(row) - max(row))
        p.append(float((shares / shares.sum())[target]))
        ranks.append(1 + sum(other >= row[target] for index, other in enumerate(row) if index != target))
    assert Dynamics((record(p, ranks),)).claim.holds


def test_the_earliest_stubborn_position_bounds_the_first_failure():
    bound = Dynamics(
        (
            record([0.9, 0.3, 0.9, 0.1], failure=1),
            record([0.4, 0.9, 0.9, 0.1], [1, 1, 1, 2], failure=3),
            record([0.9, 0.9, 0.3, 0.9], failure=2),
            record([0.9, 0.9, 0.9, 0.2], failure=0),  # rounding broke it before its stubborn token
            record([0.9, 0.9], failure=1),  # rounding broke it without any
            record([0.9, 0.4]),  # recited
        )
    ).bound
    assert (bound.num_records, bound.num_kept, bound.num_unforeseen) == (4, 3, 1)
    assert bound.spearman_rho == pytest.approx(stats.spearmanr([1, 0, 2, 3], [1, 3, 2, 0])[0])


def test_without_failures_there_is_no_correlation():
    bound = Dynamics((record([0.9, 0.4]),)).bound
    assert (bound.num_records, bound.spearman_rho) == (0, None)


def test_failures_are_counted_where_they_happen():
    found = Dynamics(
        (record([0.9] * 10, failure=0), record([0.9] * 7, failure=3), record([0.9] * 10, failure=9))
    ).failure_histogram(num_bins=4)
    assert found == (Bin(0, 3, 1), Bin(3, 6, 1), Bin(6, 9, 0), Bin(9, 12, 1))


@given(st.integers(1, 300), st.data())
def test_a_histogram_has_each_failure_once(length, data):
    failures = data.draw(st.lists(st.integers(0, length - 1), min_size=1, max_size=9))
    bins = Dynamics(tuple(record([0.9] * length, failure=at) for at in failures)).failure_histogram()
    assert len(bins) <= dynamics.NUM_BINS
    for each in bins:
        assert each.count == sum(each.start <= at < each.stop for at in failures)
    assert sum(each.count for each in bins) == len(failures)


def test_no_failure_no_histogram():
    assert Dynamics((record([0.9]),)).failure_histogram() == ()


def test_certificates_are_taken_record_by_record():
    subject = Subject.model_construct()
    numerics = Numerics.model_construct()
    failed = RecordCertificate(
        id="a",
        verdict="failed",
        tokens=("x", "y"),
        token_ids=(1, 2),
        p=(0.9, 0.2),
        nll_nats=(0.1, 1.6),
        token_rank=(1, 3),
        logit_margin=(1.0, -1.0),
        rival=("z", "z"),
        first_failure=Failure(position=1, expected="y", got="z"),
    )
    certificate = Certificate.model_construct(subject=subject, numerics=numerics, records=(failed,))
    found = dynamics_of([certificate, certificate])
    assert found.num_tokens == 4
    assert found.records[1] == RecordDynamics(p=(0.9, 0.2), token_rank=(1, 3), first_failure_position=1)


def test_the_examples_in_the_module():
    assert doctest.testmod(dynamics).failed == 0
