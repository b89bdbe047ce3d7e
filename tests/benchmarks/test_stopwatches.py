"""What a side is charged with: reading and steps, and no look or check."""

# pyright: reportMissingImports=false

import os
from types import SimpleNamespace

import learning_run
import pytest
from peers import race as race_module
from peers.race import Job, Race


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass when a test says so."""
    now = SimpleNamespace(seconds=100.0)
    for module in (learning_run, race_module):
        monkeypatch.setattr(module.time, "perf_counter", lambda: now.seconds)
    return now


def epoch(train_seconds: float, num_visited_records: int) -> SimpleNamespace:
    return SimpleNamespace(
        train_seconds=train_seconds, num_visited_records=num_visited_records, num_records=10, nll_nats=1.0
    )


def test_byheart_is_charged_with_reading_and_steps_and_not_with_looks(clock):
    watch = learning_run.Watch()
    clock.seconds += 4  # reading
    clock.seconds += 3
    watch.epoch(epoch(3.0, 10))
    clock.seconds += 50  # a look
    clock.seconds += 1
    watch.epoch(epoch(4.0, 5))
    assert watch.seconds == pytest.approx(4 + 3 + 1)
    assert watch.seconds_an_epoch == pytest.approx(4 / 1.5)


def test_a_peer_is_charged_with_what_lies_between_checks(clock, tmp_path):
    race = Race(Job("trl", "records.jsonl", 10, 1, 42, {"epochs": 2}), tmp_path / "outcome.json")
    race.device = "cpu"
    race.begin(num_parameters=1, lora_rank=1)
    clock.seconds += 7
    with race.paused():
        clock.seconds += 50
    clock.seconds += 2
    with race.paused():
        clock.seconds += 60
    assert race.outcome.seconds == pytest.approx(9)
    assert race.outcome.evaluation_seconds == pytest.approx(110)


def test_a_peer_keeps_as_many_kernels_as_onednn_does_by_itself(monkeypatch, make_race):
    name = "ONEDNN_PRIMITIVE_CACHE_CAPACITY"
    monkeypatch.setenv(name, "1")  # so that it is put back
    for side, kept in (("byheart", None), ("trainer", "1024")):
        monkeypatch.delenv(name)
        make_race(SimpleNamespace(peer=side, settings={})).load()
        assert os.environ.get(name) == kept
        os.environ[name] = "1"
