from dataclasses import replace

import pytest
from safetensors.numpy import load

from byheart.artifacts import write_bytes
from byheart.sweep import measure
from byheart.sweep.cell import TIMES
from byheart.sweep.engines import Job
from byheart.sweep.run import run_job
from byheart.sweep.token_dynamics import read_dynamics, read_unseen


def job(cell, **run) -> Job:
    return Job(cell.name, {**cell.run.model_dump(mode="json"), **run}, cell.plain_records())


def test_a_job_is_a_run_measured(tiny_cells):
    outcome = run_job(job(tiny_cells[0]))
    assert outcome.error is None
    assert outcome.numbers is not None
    assert (outcome.name, outcome.numbers["lora_rank"], outcome.numbers["epochs"]) == (tiny_cells[0].name, 1, 3)
    assert outcome.numbers["num_answer_tokens"] == tiny_cells[0].num_answer_tokens
    assert len(load(outcome.tokens)["nll_nats"]) == tiny_cells[0].num_answer_tokens


def test_records_that_are_asked_for_and_not_learnt_stand_beside_the_others(tiny_cells, tmp_path):
    known, *others = tiny_cells[0].plain_records()
    alone = replace(job(tiny_cells[0], learn={"epochs": 60, "batch_size": 4}), records=[known])
    outcome = run_job(replace(alone, unseen=[known, *others]))
    assert outcome.error is None
    assert outcome.numbers is not None
    assert (outcome.numbers["exact_match"], outcome.numbers["unseen_exact_match"]) == (1, 1 / 4)
    write_bytes(tmp_path / "cells" / "a" / "tokens.safetensors", outcome.tokens)
    asked = read_unseen(tmp_path, "a")
    assert [record.first_failure_position is None for record in asked] == [True, False, False, False]
    [learnt] = read_dynamics(tmp_path, "a")
    assert asked[0].p == pytest.approx(learnt.p, abs=1e-5)
    assert run_job(alone).numbers == outcome.numbers | {
        "unseen_exact_match": None,
        **{name: pytest.approx(outcome.numbers[name], rel=100) for name in TIMES},
    }


def test_the_same_job_twice_comes_to_the_same(tiny_cells):
    first, second = (run_job(job(tiny_cells[1])) for _ in range(2))
    assert first.tokens == second.tokens


def test_a_mistake_in_the_settings_is_an_outcome(tiny_cells):
    outcome = run_job(job(tiny_cells[0], placement={"layers": "99", "modules": "mlp", "lora_rank": 2}))
    assert outcome.numbers is None
    assert (outcome.error or "").startswith("PlacementError: layers '99'")
    assert outcome.traceback is None
    assert not outcome.is_lost


def test_a_mistake_of_ours_says_where(tiny_cells, monkeypatch):
    monkeypatch.setattr("byheart.sweep.run.learn", lambda *_, **__: 1 / 0)
    outcome = run_job(job(tiny_cells[0]))
    assert outcome.error == "ZeroDivisionError: division by zero"
    assert "test_run.py" in (outcome.traceback or "")


def test_a_measure_that_is_no_number_fails_its_cell_and_not_the_sweep(tiny_cells, monkeypatch):
    real = measure.Measured
    monkeypatch.setattr(measure, "Measured", lambda **values: real(**{**values, "nll_after_nats": float("inf")}))
    outcome = run_job(job(tiny_cells[0]))
    assert outcome.numbers is None
    assert "nll_after_nats" in (outcome.error or "")
    assert "finite number" in (outcome.error or "")


def test_the_base_model_is_loaded_once_for_jobs_that_share_it(tiny_cells, monkeypatch):
    from byheart.sweep import run

    run.loaded.cache_clear()
    loads = []
    real = run.load
    monkeypatch.setattr(run, "load", lambda config: loads.append(config.dtype) or real(config))
    model = tiny_cells[0].run.model.model_dump(mode="json")
    for dtype in ("float32", "float32", "bfloat16", "float32"):
        assert run_job(job(tiny_cells[0], model={**model, "dtype": dtype})).error is None
    assert loads == ["float32", "bfloat16", "float32"]
