import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from byheart.errors import LawError
from byheart.law.form import Law
from laws_for_tests import LAW

LAWS = st.builds(
    Law,
    axis=st.just("lora_rank"),
    coefficient=st.floats(0.1, 100.0),
    rank_exponent=st.floats(0.05, 2.0),
    length_exponent=st.floats(0.0, 2.0),
    offset_nats=st.floats(-2.0, 2.0),
)
SIZES = st.integers(1, 512)
LENGTHS = st.integers(1, 100_000)


def test_the_formula_at_one_point():
    law = Law(axis="lora_rank", coefficient=3.0, rank_exponent=0.5, length_exponent=0.25, offset_nats=-0.5)
    assert law.drop_nats(16, 81, nll_before_nats=9.0) == pytest.approx(3 * 4 / 3 - 0.5)


@given(LAWS, SIZES, SIZES, LENGTHS)
def test_more_rank_never_predicts_less(law, size, other, length):
    small, large = sorted((size, other))
    assert law.drop_nats(small, length, 13.6) <= law.drop_nats(large, length, 13.6)


@given(LAWS, SIZES, LENGTHS, LENGTHS)
def test_a_longer_answer_never_predicts_more(law, size, length, other):
    short, long = sorted((length, other))
    assert law.drop_nats(size, long, 13.6) <= law.drop_nats(size, short, 13.6)


@given(LAWS, SIZES, LENGTHS, st.floats(0.0, 20.0))
def test_a_prediction_is_between_nothing_and_all_there_is_to_lose(law, size, length, nll_before_nats):
    assert 0.0 <= law.drop_nats(size, length, nll_before_nats) <= nll_before_nats


def test_what_fits_are_judged_by_is_not_clipped():
    assert float(LAW.unclipped_nats(512, 1)) > 1000


@given(LAWS, SIZES, LENGTHS)
def test_the_size_for_a_prediction_is_the_size_it_was_made_for(law, size, length):
    drop_nats = float(law.unclipped_nats(size, length))
    if drop_nats - law.offset_nats > 1e-6:  # below that the offset's rounding is all that is left
        assert law.size_for(drop_nats, length, math.inf) == pytest.approx(size, rel=1e-3)


def test_the_offset_alone_needs_no_size():
    assert LAW.size_for(0.3, 100, nll_before_nats=13.6) == 0.0


def test_more_than_there_is_to_lose_is_refused():
    with pytest.raises(LawError, match=r"14 nats is wanted, but there are only 13\.6"):
        LAW.size_for(14.0, 100, nll_before_nats=13.6)


def test_a_law_without_an_exponent_of_size_cannot_be_asked_for_one():
    with pytest.raises(LawError, match="changes nothing"):
        LAW.model_copy(update={"rank_exponent": 0.0}).size_for(5.0, 100, 13.6)


def test_a_size_beyond_all_numbers_is_refused():
    with pytest.raises(LawError, match="no adapter is large enough"):
        LAW.model_copy(update={"rank_exponent": 0.001}).size_for(13.0, 10_000, 13.6)


@pytest.mark.parametrize(("size", "length"), [(0, 10), (4, 0), (-1, 10)])
def test_sizes_and_lengths_are_positive(size, length):
    with pytest.raises(LawError, match="both must be positive"):
        LAW.drop_nats(size, length, 13.6)


def test_arrays_are_predicted_element_by_element():
    predicted = LAW.unclipped_nats(np.array([1, 4]), np.array([100, 400]))
    assert predicted.tolist() == pytest.approx([26 / 10 + 0.3, 26 * 4**0.6 / 20 + 0.3])


def test_a_law_reads_as_its_formula():
    law = LAW.model_copy(update={"offset_nats": -0.25, "axis": "num_parameters"})
    assert str(law) == "ΔL = 26·P^0.6·ℓ^-0.5 - 0.25"
