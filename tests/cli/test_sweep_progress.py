import re
import warnings
from dataclasses import replace

import pytest

from byheart.cli.screens import Screen
from byheart.cli.sweep_progress import SweepBars, SweepLines, left, resumable, sweep_narrating
from byheart.errors import InterruptedRunError
from byheart.sweep.progress import Standing
from screens_for_tests import Clock, screen


def standing(num_done: int = 3, seconds_left: float | None = 125.0) -> Standing:
    return Standing(num_cells=25, num_done=num_done, num_failed=1, num_running=2, seconds_left=seconds_left)


def test_plain_lines_come_every_ten_seconds(monkeypatch):
    plain, stream = screen(monkeypatch, is_terminal=False)
    clock = Clock()
    lines = SweepLines(plain, now=clock)
    for number in range(1, 26):
        clock.now += 1
        lines.standing(standing(number, None if number < 15 else 125.0))
    assert stream.getvalue().splitlines() == [
        "cells: 11 of 25; 10 done, 1 failed, 2 running; time left not known yet",
        "cells: 21 of 25; 20 done, 1 failed, 2 running; about 2:05 left",
    ]


def drawn(terminal: Screen, bars: SweepBars) -> list[str]:
    with terminal.capture() as captured:
        terminal.print(bars.drawn())
    return re.sub(r"\x1b\[[0-9;]*m", "", captured.get()).splitlines()


def test_a_bar_tells_cells_and_time(monkeypatch):
    terminal, stream = screen(monkeypatch, is_terminal=True)
    clock = Clock()
    stopping = False
    bars = SweepBars(terminal, lambda: stopping, clock)
    bars.begin("making the cells")
    clock.now += 62
    assert drawn(terminal, bars)[0].startswith("making the cells  ━")
    bars.standing(standing())
    lines = drawn(terminal, bars)
    assert lines[0].startswith("cells  ━")
    assert lines[0].rstrip().endswith("4/25  1:02, about 2:05 left")
    assert lines[1] == "3 done, 1 failed, 2 running"
    assert len(lines) == 2
    stopping = True
    assert drawn(terminal, bars)[2] == "ending after 2 cells under way; Ctrl-C again leaves at once"
    assert max(map(len, drawn(terminal, bars))) <= 80
    assert stream.getvalue() == ""


@pytest.mark.parametrize(("is_terminal", "kind"), [(True, SweepBars), (False, SweepLines)])
def test_bars_only_where_a_person_watches(is_terminal, kind, monkeypatch):
    built, _ = screen(monkeypatch, is_terminal=is_terminal)
    with sweep_narrating(built, lambda: False) as narrator:
        assert type(narrator) is kind


def test_warnings_are_sentences_and_sentences_are_text(monkeypatch):
    plain, stream = screen(monkeypatch, is_terminal=False)
    with sweep_narrating(plain, lambda: False) as narrator:
        warnings.simplefilter("always")
        warnings.warn("LlamaForCausalLM cannot be cut", UserWarning, stacklevel=1)
        narrator.say("[red]\x1b[31m")
    assert stream.getvalue() == "warning: LlamaForCausalLM cannot be cut\n[red]␛[31m\n"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (KeyboardInterrupt(), "left at once, cells under way undone; the same command goes on with the rest in out"),
        (InterruptedRunError("3 of 6 cells"), "3 of 6 cells; the same command goes on with the rest in out"),
    ],
    ids=["at once", "politely"],
)
def test_what_is_stopped_says_what_becomes_of_it(monkeypatch, error, told):
    plain, stream = screen(monkeypatch, is_terminal=False)
    with (
        pytest.raises(InterruptedRunError) as raised,
        resumable(plain, rest="the rest in out") as (_, interruption),
    ):
        assert interruption() is False
        raise error
    assert str(raised.value) == told
    assert stream.getvalue() == "making the cells\n"


def test_a_cell_that_outlasts_its_estimate_is_not_said_to_be_at_its_end():
    assert left(standing(seconds_left=0.0)) == "longer than the cells before, time left not known"
    assert left(standing(seconds_left=0.5)) == "about 0:00 left"
    assert left(replace(standing(seconds_left=0.0), num_running=0)) == "about 0:00 left"
