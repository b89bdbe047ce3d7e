import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load, save
from scipy.stats import spearmanr

from byheart.certification.dynamics import Dynamics, spearman
from byheart.errors import ArtifactError
from byheart.sweep.results import write_result
from byheart.sweep.token_dynamics import read_dynamics, record_dynamics
from reproductions_for_tests import tokens_of
from sweeps_for_tests import result


def of(*probabilities, failures=()) -> Dynamics:
    return Dynamics(tuple(record_dynamics(load(tokens_of(*probabilities, failures=failures)))))


def test_tokens_come_apart_by_record():
    first, second = of([0.9, 0.45], [0.8, 0.7, 0.1]).records
    assert first.p == pytest.approx([0.9, 0.45])
    assert second.p == pytest.approx([0.8, 0.7, 0.1])
    assert (first.earliest_stubborn_position, first.first_failure_position) == (1, None)
    assert (second.earliest_stubborn_position, second.first_failure_position) == (2, 2)


def test_the_claim_is_counted():
    found = of([0.9, 0.45, 0.1], [0.6])
    assert (found.num_tokens, found.claim.num_above, found.claim.num_above_not_argmax) == (4, 2, 0)
    assert found.claim.num_stubborn_argmax == 1


def test_a_counterexample_would_be_found():
    tokens = load(tokens_of([0.9, 0.8]))
    tokens["token_rank"] = np.array([1, 2], np.int32)
    assert Dynamics(tuple(record_dynamics(tokens))).claim.num_above_not_argmax == 1


def test_one_half_is_not_above_one_half():
    assert of([0.5]).claim.num_above == 0


def test_a_failure_before_the_first_stubborn_token_is_counted():
    early = of([0.9, 0.9, 0.3], [0.9, 0.9], failures=[1, None]).bound
    assert early.num_records - early.num_kept + early.num_unforeseen == 1
    late = of([0.9, 0.9, 0.3], failures=[2]).bound
    assert late.num_records - late.num_kept + late.num_unforeseen == 0


def test_pairs_are_of_records_that_have_both():
    assert of([0.9, 0.45, 0.1], [0.9], [0.45, 0.9]).pairs == ((1, 2),)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=3, max_size=40))
def test_spearman_is_scipys(both):
    first, second = zip(*both, strict=True)
    found = spearman(first, second)
    if len(set(first)) == 1 or len(set(second)) == 1:
        assert found is None
    else:
        assert found == pytest.approx(spearmanr(first, second)[0], abs=1e-9)


def test_two_pairs_have_no_correlation():
    assert spearman([1, 2], [2, 3]) is None


def test_a_loss_that_rounds_to_ln_2_decides_nothing():
    """Losses are kept in fp32 too: one that p = 0.5 has may be below ln 2, and would make a counterexample of it."""
    tokens = load(tokens_of([0.5]))
    tokens["nll_nats"] = np.nextafter(np.float32(np.log(2)), np.float32(0), dtype=np.float32).reshape(1)
    tokens["token_rank"] = np.array([2], np.int32)
    [record] = record_dynamics(tokens)
    assert np.exp(-tokens["nll_nats"].astype(np.float64))[0] > 0.5
    assert record.stubborn_positions == (0,)
    assert Dynamics((record,)).claim.holds


@pytest.mark.parametrize(
    ("changed", "message"),
    [({"p": None}, "'p'"), ({"num_tokens": np.array([1, 1], np.int32)}, "2 tokens by record, 3 probabilities")],
)
def test_tokens_that_are_not_whole_say_how_they_are_made_again(changed, message, tmp_path):
    tokens = {**load(tokens_of([0.9, 0.8], [0.7])), **changed}
    write_result(tmp_path, result(), save({name: values for name, values in tokens.items() if values is not None}))
    with pytest.raises(ArtifactError, match=f"not whole.*{message}.*remove .*{result().name}, and the cell is run"):
        read_dynamics(tmp_path, result().name)
