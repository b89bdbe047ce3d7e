import pytest

from byheart.sweep.progress import Pace


class Clock:
    """Time that passes when told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_nothing_is_known_before_the_first_cell(clock):
    pace = Pace({"a": 10, "b": 10}, clock)
    pace.begin("a")
    clock.now = 5.0
    assert pace.seconds_left(1) is None


def test_longer_cells_take_longer(clock):
    pace = Pace({"a": 10, "b": 100, "c": 30}, clock)
    pace.begin("a")
    clock.now = 5.0
    pace.end("a", is_measure=True)
    assert pace.seconds_left(1) == pytest.approx(0.5 * 130)


def test_workers_share_what_is_left_but_no_more_of_them_than_there_are_cells(clock):
    pace = Pace({"a": 10, "b": 10, "c": 10}, clock)
    pace.begin("a")
    clock.now = 4.0
    pace.end("a", is_measure=True)
    assert pace.seconds_left(2) == pytest.approx(4.0)
    assert pace.seconds_left(100) == pytest.approx(4.0)


def test_what_a_running_cell_has_taken_is_taken_off_but_never_more_than_it_was_to_take(clock):
    pace = Pace({"a": 10, "b": 10, "c": 10}, clock)
    pace.begin("a")
    clock.now = 4.0
    pace.end("a", is_measure=True)
    pace.begin("b")
    clock.now = 5.0
    assert pace.seconds_left(1) == pytest.approx(7.0)
    clock.now = 50.0
    assert pace.seconds_left(1) == pytest.approx(4.0)


def test_a_failed_cell_measures_nothing_and_a_lost_one_is_still_to_be_done(clock):
    pace = Pace({"a": 10, "b": 10, "c": 10}, clock)
    pace.begin("a")
    clock.now = 4.0
    pace.end("a", is_measure=True)
    pace.begin("b")
    clock.now = 4.1
    pace.end("b", is_measure=False)
    pace.begin("c")
    pace.lose("c")
    assert pace.seconds_left(1) == pytest.approx(4.0)
