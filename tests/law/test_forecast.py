import math
from dataclasses import replace
from itertools import product

import pytest

from byheart.errors import LawError
from byheart.law.cells import select
from byheart.law.forecast import fit_forecast
from byheart.law.form import Law
from byheart.law.observation import Observation
from laws_for_tests import PARAMETERS_EACH_RANK
from plans_for_tests import CONTENT, SHARE_LAW, cell, saturated_or_lost, simulated


def test_a_law_of_shares_is_found_among_the_ways_and_predicts_unseen_content():
    forecast = fit_forecast(simulated())
    assert forecast.way == "share"
    assert forecast.errors["share"] < 0.05 < forecast.errors["all alike"]
    true = float(SHARE_LAW.unclipped_nats(4, 150))
    assert forecast.unclipped_nats(4, 150, nll_before_nats=7.0) / 7.0 == pytest.approx(true, rel=0.1)


def test_a_law_in_nats_is_found_where_content_makes_no_difference():
    law = Law(axis="lora_rank", coefficient=13.0, rank_exponent=0.6, length_exponent=0.5, offset_nats=0.0)
    content = {"a": (30.0, (50, 100, 200, 400)), "b": (60.0, (50, 100, 200, 400))}
    forecast = fit_forecast(simulated(content, law=law, per_loss=False))
    assert forecast.way == "all alike"
    assert forecast.unclipped_nats(4, 100, 30.0) == forecast.unclipped_nats(4, 100, 60.0)


def test_the_nearest_group_is_that_of_the_nearest_loss():
    forecast = fit_forecast(simulated({"random": CONTENT["random"], "prose": CONTENT["prose"]}), "nearest group")
    random, prose = (next(each.law for each in forecast.laws if each.group == name) for name in ("random", "prose"))
    assert forecast.unclipped_nats(2, 100, 12.0) == float(random.unclipped_nats(2, 100))
    assert forecast.unclipped_nats(2, 100, 4.0) == float(prose.unclipped_nats(2, 100))


def test_what_is_left_lies_between_where_whole_cells_end_and_all():
    forecast = fit_forecast(simulated(), "share")
    assert forecast.nll_after_nats(512, 10, 3.0) == forecast.nll_at_end_nats == 0.02
    assert forecast.nll_after_nats(512, 10, 0.01) == 0.01
    assert 0 < forecast.nll_after_nats(1, 10**6, 3.0) <= 3.0


def bending(capacity: float, exponent: float) -> list[Observation]:
    """Cells that fill up at a capacity, most of them whole."""
    cells = []
    for group, (before, lengths) in CONTENT.items():
        for rank, length in product((1, 2, 4), lengths):
            bits = length * before / math.log(2)
            left = before * math.exp(-((capacity * rank * PARAMETERS_EACH_RANK / bits) ** exponent))
            cells.append(cell(group, rank, length, before, left, is_whole=left < 0.1))
    return cells


def test_where_nearly_all_is_held_the_form_that_saturates_finds_the_capacity():
    cells = bending(0.5, 2.0)
    assert len(select(cells).saturated) > len(cells) / 2
    forecast = fit_forecast(cells)
    assert forecast.way == "saturating"
    assert forecast.capacity is not None
    assert forecast.capacity.bits_per_parameter == pytest.approx(0.5, rel=1e-3)
    assert forecast.capacity.load_exponent == pytest.approx(2.0, rel=1e-3)
    for each in cells:
        left = forecast.nll_after_nats(each.lora_rank, each.num_answer_tokens, each.nll_before_nats)
        assert left == pytest.approx(each.nll_after_nats, abs=1e-3)


def test_runs_that_stop_above_nothing_do_not_bend_the_capacity():
    """All cells that come back whole end at 0.1 nats, as runs do that stop there."""
    cells = [replace(each, nll_after_nats=max(each.nll_after_nats, 0.1)) for each in bending(0.5, 2.0)]
    cells = [replace(each, num_certified=each.num_records * (each.nll_after_nats == 0.1)) for each in cells]
    forecast = fit_forecast(cells)
    assert forecast.way == "saturating"
    assert forecast.nll_at_end_nats == 0.1
    assert forecast.capacity is not None
    assert forecast.capacity.bits_per_parameter == pytest.approx(0.5, rel=0.1)
    assert str(forecast) == f"saturating, {forecast.capacity}"


def test_cells_that_learnt_nothing_are_in_no_fit_whether_or_not_they_came_to_rest():
    worse = [replace(each, nll_after_nats=each.nll_before_nats + 0.5, has_converged=False) for each in simulated()[:5]]
    assert fit_forecast([*simulated(), *worse], "share").laws == fit_forecast(simulated(), "share").laws


def test_what_is_paid_goes_on_rising_where_nothing_is_left():
    for forecast in (fit_forecast(bending(0.5, 2.0)), fit_forecast(simulated(), "share")):
        paid = [forecast.times_paid(rank, 50, 6.0) for rank in (64, 128, 256)]
        assert 1 < paid[0] < paid[1] < paid[2]
        assert forecast.nll_after_nats(256, 50, 6.0) == forecast.nll_at_end_nats


def test_cells_that_all_hold_everything_tell_no_capacity():
    held = [replace(each, nll_after_nats=0.1) for each in bending(0.5, 2.0)]
    with pytest.raises(LawError, match="0 of them overfilled"):
        fit_forecast(held, "saturating")


def test_a_loss_that_hardly_depends_on_the_room_tells_no_capacity():
    """One cell among many that hold everything ends a little higher, and not the fullest."""
    held = [replace(each, nll_after_nats=0.05 * each.nll_before_nats) for each in bending(0.5, 2.0)]
    held[4] = replace(held[4], nll_after_nats=0.1 * held[4].nll_before_nats, num_certified=0)
    with pytest.raises(LawError, match=r"bits a parameter would be, and none has more than 32; sweep lower ranks"):
        fit_forecast(held, "saturating")


def test_cells_without_a_law_are_refused_with_the_reason():
    left_out = r"left out: [1-9]\d* saturated, 0 not converged, [1-9]\d* with no fall"
    with pytest.raises(LawError, match=rf"0 different \(rank, length\) to fit.*{left_out}"):
        fit_forecast(saturated_or_lost())


def test_cells_that_their_budget_ended_count_for_what_a_run_leaves():
    cells = [replace(each, has_converged=False) for each in simulated()]
    assert fit_forecast(cells, "share") == fit_forecast(simulated(), "share")


def test_the_loss_lies_within_the_error_on_groups_left_out_and_within_what_there_was():
    forecast = fit_forecast(simulated(), "share")
    assert forecast.nll_interval(4, 100, 6.0) is None, "nothing was left out"
    known = forecast.model_copy(update={"errors": {"share": 0.1, "all alike": 0.5}})
    found = known.nll_interval(4, 100, 6.0)
    assert found is not None
    after = known.nll_after_nats(4, 100, 6.0)
    assert (found.low, found.high) == pytest.approx((after - 0.6, after + 0.6))
    whole = known.nll_interval(512, 100, 6.0)
    assert whole is not None
    assert (whole.low, whole.high) == (known.nll_at_end_nats, pytest.approx(0.62))
