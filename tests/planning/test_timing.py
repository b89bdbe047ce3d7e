from byheart.law.plan import Need
from byheart.planning.timing import Timing
from laws_for_tests import PARAMETERS_EACH_RANK
from plans_for_tests import cell


def cells_and_seconds(length_exponent: float, load_exponent: float):
    cells = [
        cell("random", rank, length, 10.0, 1.0, is_whole=True) for rank in (1, 2, 4, 8) for length in (25, 50, 100, 200)
    ]
    loads = [each.num_answer_tokens * 10.0 / 0.6931471805599453 / each.num_parameters for each in cells]
    seconds = [
        0.3 * each.num_answer_tokens**length_exponent * load**load_exponent
        for each, load in zip(cells, loads, strict=True)
    ]
    return cells, seconds


def test_a_power_is_found_again():
    timing = Timing.of(*cells_and_seconds(0.8, 0.4))
    assert timing is not None
    assert abs(timing.length_exponent - 0.8) < 1e-9
    assert abs(timing.load_exponent - 0.4) < 1e-9
    assert abs(timing.factor - 1) < 1e-9
    cells, seconds = cells_and_seconds(0.8, 0.4)
    need = Need(1, cells[5].num_answer_tokens, 10.0)
    assert abs(timing.seconds(need, cells[5].lora_rank * PARAMETERS_EACH_RANK) / seconds[5] - 1) < 1e-9


def test_a_denser_adapter_never_takes_less():
    timing = Timing.of(*cells_and_seconds(0.8, -0.4))
    assert timing is not None
    assert timing.load_exponent == 0


def test_an_adapter_with_more_room_than_any_cell_had_is_no_faster_than_the_roomiest():
    cells, seconds = cells_and_seconds(0.8, 0.4)
    timing = Timing.of(cells, seconds)
    assert timing is not None
    roomiest = min(cells, key=lambda each: each.bits / each.num_parameters)
    need = Need(1, roomiest.num_answer_tokens, 10.0)
    assert timing.seconds(need, 100 * roomiest.num_parameters) == timing.seconds(need, roomiest.num_parameters)
    assert timing.seconds(need, roomiest.num_parameters // 2) > timing.seconds(need, roomiest.num_parameters)


def test_too_few_cells_or_no_times_tell_nothing():
    cells, seconds = cells_and_seconds(1, 0)
    assert Timing.of(cells[:3], seconds[:3]) is None
    assert Timing.of(cells, [0.0, *seconds[1:]]) is None
