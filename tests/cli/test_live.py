import re
import warnings
from dataclasses import replace

import pytest

from byheart.cli.live import Bars, Lines, Pace, narrating
from byheart.learning.events import EpochEvent
from screens_for_tests import Clock, screen


def event(epoch: int, certified: int = 0, *, visited: int = 100, seconds: float = 1.0) -> EpochEvent:
    return EpochEvent(
        epoch=epoch,
        spent_visits=100 * epoch,
        budget_visits=6000,
        lora_rank=8,
        learning_rate=2.4e-3,
        objective=1.0,
        nll_nats=1.0,
        num_visited_records=visited,
        num_stubborn_tokens=1000 - 10 * certified,
        num_certified_records=certified,
        num_records=100,
        seconds=seconds,
        train_seconds=epoch * seconds,
    )


def test_the_time_left_is_that_of_the_epochs_left_at_the_pace_of_late():
    pace = Pace()
    for _ in range(20):
        pace.lap(100.0, 100)
    for _ in range(10):
        pace.lap(2.0, 100)
    assert pace.at_most_seconds(event(30)) == pytest.approx(2.0 * 30)


def test_epochs_of_few_records_promise_no_short_ones():
    """A curriculum shows a fifth of the records first; later epochs take five times as long."""
    pace = Pace()
    pace.lap(1.0, 20)
    assert pace.at_most_seconds(replace(event(10, visited=20), spent_visits=200)) == pytest.approx(5.0 * 58)


def test_the_last_epoch_leaves_nothing():
    pace = Pace()
    pace.lap(1.0, 100)
    assert pace.at_most_seconds(event(60)) == 0


def run(narrator: Lines | Bars, clock: Clock, num_epochs: int, seconds: float) -> None:
    narrator.say("100 records in contacts.jsonl")
    narrator.begin("loading tiny")
    with narrator.phase("reading", 100) as advance:
        for _ in range(4):
            clock.now += 1
            advance(25)
    clock.now += 5  # the loss before learning
    for epoch in range(1, num_epochs + 1):
        clock.now += seconds
        narrator.epoch(event(epoch, min(epoch, 100), seconds=seconds))
    with narrator.phase("certifying", 200) as advance:
        clock.now += 3
        advance(200)


def test_plain_lines_are_few_and_hold_what_counts(monkeypatch):
    plain, stream = screen(monkeypatch, is_terminal=False)
    clock = Clock()
    with Lines(plain, now=clock) as narrator:
        run(narrator, clock, num_epochs=59, seconds=0.5)
    lines = stream.getvalue().splitlines()
    assert lines[:3] == ["100 records in contacts.jsonl", "loading tiny", "reading activations: done in 0:04"]
    learning = [line for line in lines if line.startswith("learning: epoch")]
    assert [int(match[1]) for line in learning if (match := re.search(r"epoch (\d+), ", line))] == [
        *(10, 20, 30, 40, 50)
    ]
    assert learning[0] == (
        "learning: epoch 10, 16 % of the budget; "
        "10 of 100 records above 0.5 so far, 900 stubborn tokens; up to about 0:25 left"
    )
    assert lines[-2:] == [
        "learning: 59 epochs in 0:34; 59 of 100 records above 0.5 so far, 410 stubborn tokens",
        "certifying: done in 0:03",
    ]
    assert "\x1b" not in stream.getvalue()


def test_the_last_epoch_is_told_once_though_it_visits_more_than_was_left(monkeypatch):
    plain, stream = screen(monkeypatch, is_terminal=False)
    clock = Clock()
    with Lines(plain, now=clock) as narrator:
        clock.now += 20
        narrator.epoch(replace(event(60), spent_visits=6090))
        with narrator.phase("certifying", 1):
            pass
    assert stream.getvalue().splitlines() == [
        "learning: 60 epochs in 0:01; 0 of 100 records above 0.5 so far, 1,000 stubborn tokens"
    ]


def test_plain_lines_come_every_ten_seconds_where_nothing_else_happens(monkeypatch):
    plain, stream = screen(monkeypatch, is_terminal=False)
    clock = Clock()
    narrator = Lines(plain, now=clock)
    for epoch in range(1, 31):
        clock.now += 1
        narrator.epoch(event(epoch))
    assert [line.split(", ")[0] for line in stream.getvalue().splitlines()] == [
        f"learning: epoch {epoch}" for epoch in (10, 20, 30)
    ]


def test_a_bar_tells_epochs_records_tokens_and_time(monkeypatch):
    terminal, stream = screen(monkeypatch, is_terminal=True)
    clock = Clock()
    stopping = False
    bars = Bars(terminal, is_stopping=lambda: stopping, now=clock)
    with terminal.capture() as nothing:
        terminal.print(bars.drawn())
    assert nothing.get().strip() == ""
    for epoch in range(1, 32):
        clock.now += 2
        bars.epoch(event(epoch, 87, seconds=2.0))
    stopping = True
    with terminal.capture() as captured:
        terminal.print(bars.drawn())
    lines = re.sub(r"\x1b\[[0-9;]*m", "", captured.get()).splitlines()
    assert lines[0].startswith("learning  ━")
    assert lines[0].rstrip().endswith("epoch 31, 51 % of the budget  1:02, up to about 0:58 left")
    assert lines[1] == "87 of 100 records above 0.5 so far, 130 stubborn tokens, learning rate 2.4e-03"
    assert "Ctrl-C again leaves at once" in lines[2]
    assert max(map(len, lines)) <= 80
    assert stream.getvalue() == ""


def test_bars_leave_lines_behind(monkeypatch):
    terminal, stream = screen(monkeypatch, is_terminal=True)
    clock = Clock()
    with Bars(terminal, now=clock) as bars:
        run(bars, clock, num_epochs=60, seconds=2.0)
    told = " ".join(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue()).split())
    assert "learning: 60 epochs in 2:05; 60 of 100 records above 0.5 so far, 400 stubborn tokens" in told
    assert "certifying: done in 0:03" in told


@pytest.mark.parametrize(("is_terminal", "kind"), [(True, Bars), (False, Lines)])
def test_training_calls_nothing_certified(is_terminal, kind, monkeypatch):
    built, stream = screen(monkeypatch, is_terminal=is_terminal)
    clock = Clock()
    with kind(built, now=clock) as narrator:
        run(narrator, clock, num_epochs=60, seconds=2.0)
    assert "above 0.5 so far" in " ".join(stream.getvalue().split())
    assert "certified" not in stream.getvalue()


@pytest.mark.parametrize(("is_terminal", "kind"), [(True, Bars), (False, Lines)])
def test_bars_only_where_a_person_watches(is_terminal, kind, monkeypatch):
    built, _ = screen(monkeypatch, is_terminal=is_terminal)
    monkeypatch.setenv("FORCE_COLOR", "1")
    with narrating(built) as narrator:
        assert type(narrator) is kind


def test_no_bars_on_a_dumb_terminal(monkeypatch):
    built, _ = screen(monkeypatch, is_terminal=True)
    monkeypatch.setenv("TERM", "dumb")
    with narrating(built) as narrator:
        assert type(narrator) is Lines


def test_warnings_are_sentences(monkeypatch):
    plain, stream = screen(monkeypatch, is_terminal=False)
    with narrating(plain):
        warnings.simplefilter("always")
        warnings.warn("LlamaForCausalLM cannot be cut", UserWarning, stacklevel=1)
    assert stream.getvalue() == "warning: LlamaForCausalLM cannot be cut\n"


def test_sentences_are_text(monkeypatch):
    plain, stream = screen(monkeypatch, is_terminal=False)
    with narrating(plain) as narrator:
        narrator.say("[red]\x1b[31m")
    assert stream.getvalue() == "[red]␛[31m\n"


def test_leaving_the_loop_is_told(monkeypatch):
    plain, _ = screen(monkeypatch, is_terminal=False)

    def ended() -> None:
        raise KeyboardInterrupt

    narrator = Lines(plain, on_loop_ended=ended)
    with pytest.raises(KeyboardInterrupt), narrator.phase("certifying", 2):
        pass
