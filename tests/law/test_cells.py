import math
import random
from dataclasses import replace

import numpy as np
import pytest

from byheart.law.cells import SATURATED_NLL_NATS, Cells, select
from laws_for_tests import as_cells, observation, observed


def test_each_cell_is_counted_once_by_its_reason():
    used = observation(1, 100, 3.0)
    saturated = observation(8, 100, 79.9, has_converged=False)
    unconverged = observation(2, 100, 3.0, has_converged=False)
    unlearnt = observation(1, 400, -0.5)
    selection = select([unlearnt, saturated, unconverged, used])
    assert selection.used == (used,)
    assert selection.saturated == (saturated,)
    assert selection.unconverged == (unconverged,)
    assert selection.unlearnt == (unlearnt,)


@pytest.mark.parametrize(("over_nats", "is_used"), [(0.0, True), (1e-6, True), (-1e-6, False)])
def test_a_cell_is_saturated_strictly_below_ln_2(over_nats, is_used):
    cell = replace(observation(1, 100, 3.0), nll_after_nats=math.log(2) + over_nats)
    assert math.log(2) == SATURATED_NLL_NATS
    assert bool(select([cell]).used) is is_used


def test_the_order_of_rows_changes_nothing():
    cells = observed()
    shuffled = random.Random(1).sample(cells, len(cells))
    assert select(shuffled) == select(cells)


def test_the_axis_chooses_the_size():
    cells = [observation(2, 50, 3.0), observation(4, 50, 5.0)]
    assert Cells.of(cells, "lora_rank").size_N.tolist() == [2, 4]
    assert Cells.of(cells, "num_parameters").size_N.tolist() == [2 * 2112, 4 * 2112]


def test_a_subset_keeps_the_centre():
    cells = as_cells(observed())
    some = cells.take(np.array([0, 3]))
    assert cells.log_sizes.mean() == pytest.approx(0, abs=1e-12)
    assert some.log_sizes.tolist() == cells.log_sizes[[0, 3]].tolist()
    assert some.log_lengths.tolist() == cells.log_lengths[[0, 3]].tolist()


def test_repeats_of_a_point_count_once():
    cells = observed(seed=1) + observed(seed=2)
    assert len(as_cells(cells)) == 50
    assert as_cells(cells).num_points == 25


def test_the_load_is_bits_a_parameter():
    cells = as_cells([observation(1, 2112, 3.0, nll_before_nats=8 * math.log(2))])
    assert cells.loads.tolist() == pytest.approx([8.0])
