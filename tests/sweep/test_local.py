"""The local engine with its real processes; they are started once for the whole file."""

import os
import signal
import time

import pytest

from byheart.sweep.driver import sweep
from byheart.sweep.engines import Job, Outcome
from byheart.sweep.local import LocalEngine
from byheart.sweep.results import read_results, row
from byheart.sweep.run import run_job


@pytest.fixture(scope="module")
def engine():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("byheart.sweep.local.num_cores", lambda: 1)  # as many threads as the tests have
        with LocalEngine(1) as engine:
            yield engine


def job_of(cell) -> Job:
    return Job(cell.name, cell.run.model_dump(mode="json"), cell.plain_records())


def outcome_of(engine: LocalEngine) -> Outcome:
    for _ in range(600):
        if (outcome := engine.next(0.2)) is not None:
            return outcome
    raise AssertionError("no outcome came")


def pid_of(engine: LocalEngine) -> int:
    return engine._workers[0]._process.pid


def test_a_process_of_its_own_comes_to_the_same_numbers(engine, tiny_cells):
    engine.submit(job_of(tiny_cells[0]))
    here, there = run_job(job_of(tiny_cells[0])), outcome_of(engine)
    assert there.name == here.name
    assert there.tokens == here.tokens
    times = {"seconds", "train_seconds", "peak_memory_bytes"}
    assert here.numbers is not None
    assert there.numbers is not None
    assert {k: v for k, v in there.numbers.items() if k not in times} == {
        k: v for k, v in here.numbers.items() if k not in times
    }
    assert there.numbers["num_threads"] == engine.num_threads == 1


def test_a_worker_stays_for_the_next_job(engine, tiny_cells):
    before = pid_of(engine)
    engine.submit(job_of(tiny_cells[1]))
    assert outcome_of(engine).error is None
    assert pid_of(engine) == before


def test_a_failed_job_leaves_the_worker_as_it_was(engine, tiny_cells):
    before, job = pid_of(engine), job_of(tiny_cells[0])
    engine.submit(Job("bad", {**job.run, "placement": {"layers": "99"}}, job.records))
    assert "PlacementError" in (outcome_of(engine).error or "")
    assert pid_of(engine) == before


def test_a_worker_that_is_killed_loses_its_job_and_another_takes_its_place(engine, long_job, tiny_cells):
    engine.submit(long_job)
    assert engine.next(1.0) is None
    before = pid_of(engine)
    os.kill(before, signal.SIGKILL)
    outcome = outcome_of(engine)
    assert (outcome.name, outcome.is_lost) == ("endless", True)
    assert outcome.error == "the worker process was killed (SIGKILL); out of memory, perhaps"
    engine.submit(job_of(tiny_cells[2]))
    assert outcome_of(engine).error is None
    assert pid_of(engine) != before


def test_a_worker_killed_while_idle_is_replaced(engine, tiny_cells):
    before = pid_of(engine)
    os.kill(before, signal.SIGKILL)
    engine._workers[0]._process.wait()
    engine.submit(job_of(tiny_cells[3]))
    outcome = outcome_of(engine)
    if outcome.is_lost:  # handed to the dead one, before its end was seen
        engine.submit(job_of(tiny_cells[3]))
        outcome = outcome_of(engine)
    assert outcome.error is None
    assert pid_of(engine) != before


def test_leaving_ends_a_job_under_way(long_job):
    with LocalEngine(1) as engine:
        engine.submit(long_job)
        time.sleep(1.0)
        process = engine._workers[0]._process
    assert process.poll() is not None
    assert engine.next(0.01) is None


def test_a_sweep_with_real_workers(tiny_grid, tmp_path):
    results = sweep({**tiny_grid, "axes": {"lora_rank": [1, 2]}}, tmp_path, num_workers=1)
    assert [result.status for result in results] == ["done", "done"]
    rows = read_results(tmp_path).to_pylist()
    assert [each["lora_rank"] for each in rows] == [1, 2]
    assert rows[1]["nll_after_nats"] == row(results[1])["nll_after_nats"]
    assert rows[0]["nll_before_nats"] == rows[1]["nll_before_nats"] > rows[1]["nll_after_nats"]


@pytest.mark.parametrize(("num_workers", "num_threads"), [(1, 8), (3, 2), (8, 1), (20, 1)])
def test_threads_are_divided_among_workers(num_workers, num_threads, monkeypatch):
    monkeypatch.setattr("byheart.sweep.local.num_cores", lambda: 8)
    with LocalEngine(num_workers) as engine:
        assert (engine.num_slots(), engine.num_threads) == (num_workers, num_threads)


def test_there_is_one_worker_a_card_and_one_without(monkeypatch):
    monkeypatch.setattr("byheart.sweep.local._cards", lambda: ["0", "3"])
    with LocalEngine() as engine:
        assert engine.num_slots() == 2
    monkeypatch.setattr("byheart.sweep.local._cards", list)
    with LocalEngine() as engine:
        assert engine.num_slots() == 1
