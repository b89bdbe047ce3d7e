from __future__ import annotations

from typing import Any

import pytest

from byheart.law.forecast import fit_forecast
from byheart.law.plan import Need, Plan, Spans, make_plan
from byheart.law.recall import fit_recall
from byheart.law.recall_band import RecallBand
from byheart.report.figures import save
from byheart.report.plan_figures import plan_curve
from laws_for_tests import PARAMETERS_EACH_RANK
from plans_for_tests import saturated_or_lost, simulated


def planned(cells: Any, forecast: Any, ranks: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)) -> Plan:
    recall = fit_recall(cells, forecast)
    return make_plan(
        Need(10, 100, 6.0),
        ranks,
        [(recall, RecallBand.of(recall, forecast, cells))],
        forecast,
        Spans.of(cells),
        parameters_per_rank=PARAMETERS_EACH_RANK,
        bytes_per_parameter=2,
    )


@pytest.fixture(scope="module")
def by_law() -> Plan:
    """With a law that was left each group out of in turn."""
    cells = simulated()
    return planned(cells, fit_forecast(cells))


def line(axes: Any) -> list[tuple[float, float]]:
    [curve] = (each for each in axes.get_lines() if len(each.get_xdata()) > 2)
    return [(float(x), float(y)) for x, y in zip(*curve.get_data(), strict=True)]


def marks(axes: Any, *, ring: bool) -> list[Any]:
    return [each for each in axes.get_lines() if len(each.get_xdata()) == 1 and (each.get_markersize() > 10) == ring]


def band(axes: Any) -> set[tuple[float, float]]:
    [area] = axes.collections
    return {(float(x), float(y)) for x, y in area.get_paths()[0].vertices}


def test_both_curves_stand_over_rank_within_their_intervals(by_law):
    probability, loss = plan_curve(by_law).axes
    assert line(probability) == [(each.lora_rank, each.probability) for each in by_law.ranks]
    assert line(loss) == [(each.lora_rank, each.predicted_nll_nats) for each in by_law.ranks]
    for axes, name in ((probability, "probability_interval"), (loss, "nll_interval")):
        for each in by_law.ranks:
            interval = getattr(each, name)
            assert {(each.lora_rank, interval.low), (each.lora_rank, interval.high)} <= band(axes)
    assert all(
        each.probability_interval.low < each.probability < each.probability_interval.high
        and each.nll_interval.low <= each.predicted_nll_nats <= each.nll_interval.high <= 6.0
        for each in by_law.ranks
        if each.probability_interval and each.nll_interval and each.predicted_nll_nats is not None
    )


def test_the_planned_rank_is_ringed_and_what_extrapolates_is_hollow(by_law):
    axes = plan_curve(by_law).axes[0]
    [ring] = marks(axes, ring=True)
    assert ring.get_data() == ([by_law.lora_rank], [by_law.chosen.probability])
    hollow = [mark.get_xdata()[0] for mark in marks(axes, ring=False) if mark.get_markerfacecolor() == "white"]
    assert hollow == [64]


def test_without_a_law_there_is_the_probability_alone():
    figure = plan_curve(planned(saturated_or_lost(), None))
    [axes] = figure.axes
    assert axes.collections
    assert figure.get_suptitle().startswith("band of the probability: 95% of the fitted curve of recall")


def test_a_plan_that_carries_no_intervals_is_drawn_without_bands(by_law):
    ranks = tuple(each.model_copy(update={"probability_interval": None, "nll_interval": None}) for each in by_law.ranks)
    figure = plan_curve(by_law.model_copy(update={"ranks": ranks}))
    assert not any(axes.collections for axes in figure.axes)
    assert figure.get_suptitle() == "hollow: extrapolated"


def test_the_same_plan_gives_the_same_bytes(by_law, tmp_path):
    first, second = (save(plan_curve(by_law), tmp_path / name) for name in ("a", "b"))
    assert [file.read_bytes() for file in first] == [file.read_bytes() for file in second]
