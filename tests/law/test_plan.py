from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from byheart.errors import LawError, SettingsError
from byheart.law.forecast import Capacity, Forecast
from byheart.law.plan import Need, Plan, Span, Spans, make_plan
from byheart.law.recall import Recall, fit_recall
from laws_for_tests import PARAMETERS_EACH_RANK
from plans_for_tests import forecast_of, saturated_or_lost, simulated

CELLS = simulated()
FORECAST = forecast_of(CELLS)
RECALL = fit_recall(CELLS, FORECAST)
NEED = Need(10, 100, 6.0)


def planned(
    need: Need = NEED,
    ranks: Sequence[int] = (1, 2, 4, 8, 16, 32, 64),
    recall: Recall = RECALL,
    forecast: Forecast | None = FORECAST,
    **settings: Any,
) -> Plan:
    return make_plan(
        need,
        ranks,
        [(recall, None)],
        forecast,
        Spans.of(CELLS),
        parameters_per_rank=PARAMETERS_EACH_RANK,
        bytes_per_parameter=2,
        **settings,
    )


def test_the_smallest_rank_with_the_confidence_wanted_is_chosen():
    plan = planned()
    assert plan.is_reached
    assert plan.chosen.probability >= 0.9
    assert all(each.probability < 0.9 for each in plan.ranks if each.lora_rank < plan.lora_rank)
    assert planned(confidence=0.5).lora_rank < plan.lora_rank


def test_where_no_rank_does_the_largest_is_told_and_that_it_does_not():
    plan = planned(ranks=(1, 2))
    assert plan.lora_rank == 2
    assert not plan.is_reached


def test_where_no_rank_does_and_more_changes_nothing_the_smallest_is_taken():
    flat = fit_recall(saturated_or_lost()).model_copy(update={"intercept": -1.0, "size_slope": 0.0, "bits_slope": 0.0})
    plan = planned(recall=flat, forecast=None)
    assert not plan.is_reached
    assert plan.lora_rank == min(each.lora_rank for each in plan.ranks)


def test_sizes_follow_from_the_rank():
    row = planned().ranks[2]
    assert (row.lora_rank, row.num_parameters, row.adapter_bytes) == (4, 4 * 2112, 8 * 2112)


def test_the_loss_that_is_left_is_the_laws_and_clipped():
    rows = planned().ranks
    assert rows[0].predicted_nll_nats == FORECAST.nll_after_nats(1, 100, 6.0)
    assert rows[-1].predicted_nll_nats == FORECAST.nll_at_end_nats


def test_without_a_law_it_is_planned_by_bits_and_no_loss_is_predicted():
    plan = planned(recall=fit_recall(saturated_or_lost()), forecast=None)
    assert plan.reading == "bits"
    assert {each.predicted_nll_nats for each in plan.ranks} == {None}
    assert plan.is_reached


@pytest.mark.parametrize(
    ("need", "beyond"),
    [
        (Need(10, 100, 6.0), {}),
        (Need(10, 800, 2.5), {"num_answer_tokens": 2.0, "lora_rank": 2.0}),
        (Need(1, 50, 1.25), {"nll_before_nats": 2.0, "bits": 1.2}),
        (Need(1, 400, 13.7), {"bits": 2.0, "lora_rank": 2.0}),
    ],
    ids=str,
)
def test_how_far_a_plan_extrapolates_is_told(need, beyond):
    plan = planned(need)
    assert plan.extrapolations == pytest.approx(beyond)
    assert plan.extrapolates == bool(beyond)
    assert plan.chosen.extrapolation == max(beyond.values(), default=1.0)


def test_a_rank_that_counts_by_its_bits_a_parameter_alone_is_beyond_none_that_was_calibrated():
    capacity = Capacity(bits_per_parameter=1.0, load_exponent=2.0, parameters_per_rank=PARAMETERS_EACH_RANK)
    forecast = Forecast(way="saturating", laws=(), capacity=capacity, num_cells=12, errors={})
    recall = RECALL.model_copy(update={"reading": "law"})
    assert planned(recall=recall, forecast=forecast).at(64).extrapolation == 1
    assert planned(recall=recall).at(64).extrapolation == 2
    assert planned(recall=fit_recall(saturated_or_lost()), forecast=None).at(64).extrapolation == 2


def test_an_adapter_fuller_than_any_cell_is_told_and_a_roomier_one_is_not():
    spans = Spans.of(simulated())
    assert spans.overfilled(3 * spans.load.largest) == pytest.approx(3)
    assert spans.overfilled(spans.load.smallest / 3) == 1


def test_a_value_within_a_span_is_not_beyond_it():
    assert Span(smallest=2, largest=8).beyond(8) == 1
    assert Span(smallest=2, largest=8).beyond(1) == 2
    assert [Span(smallest=2, largest=8).nearest(value) for value in (1, 5, 9)] == [2, 5, 8]


@settings(max_examples=100)
@given(st.integers(1, 10**5), st.floats(0.05, 20.0), st.lists(st.integers(1, 512), min_size=2, unique=True))
def test_more_rank_never_promises_less(length, nll_nats, ranks):
    rows = planned(Need(1, length, nll_nats), ranks).ranks
    assert [each.lora_rank for each in rows] == sorted(ranks)
    assert [each.probability for each in rows] == sorted(each.probability for each in rows)
    losses = [each.predicted_nll_nats for each in rows if each.predicted_nll_nats is not None]
    assert len(losses) == len(rows)
    assert losses == sorted(losses, reverse=True)
    assert 0 <= losses[-1] <= losses[0] <= nll_nats


@pytest.mark.parametrize(
    ("probability", "told"),
    [(1.0, ">0.99"), (0.8999, "0.89"), (0.9, "0.90"), (0.29, "0.29"), (0.011, "0.01"), (0.004, "<0.01")],
)
def test_a_probability_is_told_as_no_higher_than_it_is(probability, told):
    assert planned().chosen.model_copy(update={"probability": probability}).told_probability == told


def test_needs_and_ranks_that_are_none_are_refused():
    with pytest.raises(LawError, match="num_answer_tokens is 0"):
        Need(1, 0, 1.0)
    with pytest.raises(SettingsError, match="at least one"):
        planned(ranks=())
    with pytest.raises(SettingsError, match="1 or more"):
        planned(ranks=(0, 1))
