import pytest

from byheart.calibrating.grid import (
    FLOORS,
    HEAVIEST,
    LOADS,
    MOST_PAIRS,
    NUM_RANKS,
    NUM_RANKS_OF_LARGEST,
    SAMPLES,
    grid_of,
    kind_of,
    ranks,
    size_field,
    sizes,
)
from byheart.sweep.grid import expand, read_grid

BITS = {"random": 20.0, "prose": 5.0, "phonebook": 66.0}
NONE_CAPPED = 10**6


def cells(parameters_per_rank: int = 2112):
    plain = grid_of({"placement": {"layers": "1"}}, BITS, parameters_per_rank, 1500)
    return [(draft.task.model_dump(), draft.run.placement) for draft in expand(read_grid(plain), "calibration")]


def test_every_size_of_every_kind_meets_its_own_ranks():
    found = {(kind_of(task), task[size_field(kind_of(task))], placement.lora_rank) for task, placement in cells()}
    assert found == {
        (kind, size, rank)
        for kind in SAMPLES
        for size, count in zip(sizes(kind, BITS[kind], 2112), (NUM_RANKS, NUM_RANKS, NUM_RANKS_OF_LARGEST), strict=True)
        for rank in ranks(size * BITS[kind], 2112, count)
    }
    assert len(found) == len(cells()) == len(SAMPLES) * ((len(LOADS) - 1) * NUM_RANKS + NUM_RANKS_OF_LARGEST)
    assert {placement.layers for _, placement in cells()} == {"1"}


def test_where_two_sizes_are_capped_to_one_it_is_the_largest():
    sections = grid_of({}, BITS, 30_528, 700)["grids"]
    prose = [section for section in sections if kind_of(section["task"]) == "prose"]
    assert [(each["task"]["num_answer_tokens"], each["axes"]["lora_rank"]) for each in prose] == [
        (611, [1, 2, 4]),
        (700, [1, 2]),
    ]


@pytest.mark.parametrize("kind", SAMPLES)
def test_sizes_load_a_large_placement_as_wanted(kind):
    found = [size * BITS[kind] / 38_000 for size in sizes(kind, BITS[kind], 38_000, NONE_CAPPED)]
    assert found == pytest.approx(list(LOADS), rel=0.02)


@pytest.mark.parametrize("kind", SAMPLES)
def test_sizes_of_a_small_placement_are_worth_the_trouble(kind):
    assert [size * BITS[kind] for size in sizes(kind, BITS[kind], 100)] == pytest.approx(list(FLOORS), rel=0.06)


def test_no_size_is_more_than_can_be_learnt_nor_there_twice():
    assert sizes("random", 20.0, 10**9, 700) == [700]
    assert sizes("phonebook", 20.0, 10**9, 700) == [MOST_PAIRS]
    assert sizes("random", 10.0**6, 1, 700) == [2]


@pytest.mark.parametrize("bits", [300, 1000, 1024, 70_000])
def test_the_lowest_rank_is_asked_for_about_what_an_adapter_holds(bits):
    lowest, *others = ranks(bits, 256)
    assert HEAVIEST <= bits / (lowest * 256) < 2 * HEAVIEST
    assert others == [2 * lowest, 4 * lowest]


def test_a_memory_that_rank_one_holds_begins_there():
    assert ranks(10, 256) == [1, 2, 4]


@pytest.mark.parametrize("parameters_per_rank", [768, 30_528])
def test_loads_reach_from_more_than_is_held_to_what_is_held(parameters_per_rank):
    loads = []
    for task, placement in cells(parameters_per_rank):
        kind = kind_of(task)
        bits = task[size_field(kind)] * BITS[kind]
        loads.append(bits / (placement.lora_rank * parameters_per_rank))
    assert max(loads) > 0.7
    assert min(loads) < 0.2
    assert sum(load > 0.5 for load in loads) >= 2
