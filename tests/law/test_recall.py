import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from byheart.errors import LawError
from byheart.law.observation import Observation
from byheart.law.recall import fit_recall, has_reached, penalised_logistic
from plans_for_tests import cell, forecast_of, saturated_or_lost, simulated


def test_known_odds_are_found_again():
    """Many seeds of the simulator together, whose curve is σ(8 · ln(ΔL / 1.2 L_before))."""
    cells = [each for seed in range(8) for each in simulated(seed=seed)]
    forecast = forecast_of(cells)
    recall = fit_recall(cells, forecast)
    assert recall.reading == "law"
    assert recall.size_slope == pytest.approx(8, rel=0.35)
    assert math.exp(-recall.intercept / recall.size_slope) == pytest.approx(1.2, rel=0.08)
    assert recall.log_losses["law"] < recall.log_losses["bits"] < math.log(2)


def test_separable_cells_give_finite_constants_and_no_certainty():
    cells = saturated_or_lost()
    recall = fit_recall(cells)
    assert recall.reading == "bits"
    assert recall.law_reason
    assert math.isfinite(recall.intercept) and 0 < recall.size_slope < 100
    p = [recall.probability(each.lora_rank, each.num_answer_tokens, each.nll_before_nats, None) for each in cells]
    assert 0 < min(p) < 0.05
    assert 0.95 < max(p) < 1
    assert all(
        (value > 0.5) == has_reached(each, 1.0) for value, each in zip(p, cells, strict=True) if not 0.3 < value < 0.7
    )


def test_jeffreys_prior_on_two_points_is_firths_known_answer():
    """With one success in n trials and an intercept alone, Firth's estimate of p is (k + 1/2) / (n + 1)."""
    x_P = penalised_logistic(np.ones((4, 1)), np.array([1.0, 0.0, 0.0, 0.0]))
    assert 1 / (1 + math.exp(-x_P[0])) == pytest.approx(1.5 / 5, abs=1e-4)


def test_a_goal_below_all_counts_cells_that_reach_it():
    ten = cell("random", 1, 50, 13.0, 6.0, is_whole=False)
    assert has_reached(ten, 0.6)
    assert not has_reached(ten, 0.61)
    hundred = cell("random", 1, 50, 13.0, 6.0, is_whole=True, num_records=100)
    assert has_reached(replace(hundred, num_certified=7), 0.07)
    assert fit_recall(saturated_or_lost(), goal=0.8).num_reached == fit_recall(saturated_or_lost()).num_reached
    with pytest.raises(LawError, match="some that reach it and some that do not"):
        fit_recall(saturated_or_lost(), goal=0.5)


@pytest.mark.parametrize(
    ("cells", "told"),
    [
        ([each for each in saturated_or_lost() if has_reached(each, 1.0)], "some that reach it"),
        (saturated_or_lost()[:3], "at least 6"),
        ([each for each in saturated_or_lost() if each.lora_rank == 4], "sweep several ranks"),
    ],
    ids=["all reach it", "too few", "one rank"],
)
def test_what_tells_nothing_is_refused(cells: list[Observation], told: str):
    with pytest.raises(LawError, match=told):
        fit_recall(cells)


RECALLS = [
    (fit_recall(saturated_or_lost()), None),
    (fit_recall(simulated(), forecast_of(simulated())), forecast_of(simulated())),
]


@settings(max_examples=200)
@given(st.integers(0, 1), st.integers(1, 512), st.integers(1, 10**6), st.floats(0.01, 30.0))
def test_more_rank_is_never_less_likely(which: int, rank: int, length: int, nll_nats: float):
    recall, forecast = RECALLS[which]
    lower, higher = (recall.probability(r, length, nll_nats, forecast) for r in (rank, 2 * rank))
    assert 0 <= lower <= higher <= 1


def test_cells_that_speak_against_more_rank_make_it_count_for_nothing():
    backwards = [
        cell("odd", rank, length, 5.0, 1.0, is_whole=rank < 4 and length > 60)
        for rank in (1, 2, 4, 8)
        for length in (30, 60, 120)
    ]
    recall = fit_recall(backwards)
    assert (recall.size_slope, recall.bits_slope) == (0, 0)
    assert recall.probability(1, 100, 5.0, None) == recall.probability(64, 100, 5.0, None)
