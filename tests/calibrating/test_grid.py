import pytest

from byheart.calibrating.grid import LOADS, MOST_PAIRS, RANKS, SAMPLES, grid_of, kind_of, sizes
from byheart.sweep.grid import expand, read_grid

BITS = {"random": 20.0, "prose": 5.0, "phonebook": 35.0}


def cells(parameters_per_rank: int = 2112):
    plain = grid_of({"placement": {"layers": "1"}}, BITS, parameters_per_rank, 1500)
    return expand(read_grid(plain), "calibration")


def test_every_size_of_every_kind_meets_every_rank():
    drafts = cells()
    assert len(drafts) == len(SAMPLES) * len(LOADS) * len(RANKS)
    assert {kind_of(draft.task.model_dump()) for draft in drafts} == set(SAMPLES)
    assert {draft.run.placement.lora_rank for draft in drafts} == set(RANKS)
    assert {draft.run.placement.layers for draft in drafts} == {"1"}


@pytest.mark.parametrize("kind", SAMPLES)
def test_sizes_load_the_placement_as_wanted(kind):
    found = [size * BITS[kind] / 20_000 for size in sizes(kind, BITS[kind], 20_000, 10**6)]
    assert found == pytest.approx(list(LOADS), rel=0.02)


def test_no_size_is_more_than_can_be_learnt_nor_there_twice():
    assert sizes("random", 20.0, 10**9, 700) == [700]
    assert sizes("phonebook", 20.0, 10**9, 700) == [MOST_PAIRS]
    assert sizes("random", 20.0, 1, 700) == [2]
