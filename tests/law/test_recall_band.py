import math
from dataclasses import replace

import numpy as np
import pytest

from byheart.law.recall import Recall, fit_recall, has_reached
from byheart.law.recall_band import RecallBand
from plans_for_tests import forecast_of, saturated_or_lost, simulated

CELLS = simulated()
FORECAST = forecast_of(CELLS)
CURVES = [(fit_recall(CELLS, FORECAST), FORECAST, CELLS), (fit_recall(saturated_or_lost()), None, saturated_or_lost())]


def changed(recall: Recall, constants: np.ndarray) -> Recall:
    names = ("intercept", "size_slope", "bits_slope")
    return recall.model_copy(update=dict(zip(names, map(float, constants), strict=False)))


def logit(p: float) -> float:
    return math.log(p / (1 - p))


@pytest.mark.parametrize(("recall", "forecast", "cells"), CURVES, ids=["law", "bits"])
def test_the_width_is_that_of_the_likelihoods_own_curvature(recall, forecast, cells):
    """The slow way: the second derivatives of the log likelihood by differences, cell by cell."""

    def cost(constants: np.ndarray) -> float:
        p = [
            changed(recall, constants).probability(c.lora_rank, c.num_answer_tokens, c.nll_before_nats, forecast)
            for c in cells
        ]
        return -sum(math.log(at if has_reached(c, 1.0) else 1 - at) for at, c in zip(p, cells, strict=True))

    step, at = 1e-3, recall.constants
    unit = np.eye(len(at)) * step
    curvature = np.array(
        [
            [
                cost(at + one + other) - cost(at + one - other) - cost(at - one + other) + cost(at - one - other)
                for other in unit
            ]
            for one in unit
        ]
    ) / (4 * step**2)
    design = recall.design(4, 100, 6.0, forecast)
    error = math.sqrt(design @ np.linalg.inv(curvature) @ design)
    found = RecallBand.of(recall, forecast, cells)
    assert found is not None
    interval = found.interval(4, 100, 6.0)
    assert logit(interval.high) - logit(interval.low) == pytest.approx(2 * 1.95996 * error, rel=0.01)
    middle = recall.probability(4, 100, 6.0, forecast)
    assert (logit(interval.high) + logit(interval.low)) / 2 == pytest.approx(logit(middle), abs=1e-9)


def test_four_times_the_cells_make_it_half_as_wide():
    recall, forecast, cells = CURVES[0]
    four_times = [replace(cell, name=f"{cell.name}-{turn}") for turn in range(4) for cell in cells]
    once, often = (RecallBand.of(recall, forecast, some) for some in (cells, four_times))
    assert once is not None and often is not None
    wide, narrow = (logit(band.interval(8, 100, 6.0).high) for band in (once, often))
    middle = logit(recall.probability(8, 100, 6.0, forecast))
    assert wide - middle == pytest.approx(2 * (narrow - middle))


def test_it_is_wider_far_from_all_cells():
    band = RecallBand.of(*CURVES[1])
    assert band is not None
    near, far = band.interval(8, 200, 6.0), band.interval(8, 200_000, 6.0)
    assert logit(far.high) - logit(far.low) > 2 * (logit(near.high) - logit(near.low))


def test_cells_that_say_nothing_of_the_curve_have_no_band():
    recall = CURVES[1][0]
    assert RecallBand.of(recall, None, saturated_or_lost()[:1]) is None
