import math
from dataclasses import replace

import pytest

from byheart.calibrating import calibrate as module
from byheart.calibrating.calibrate import calibrate
from byheart.config import RunConfig
from byheart.errors import InterruptedRunError, LawError
from byheart.model.placement import resolve
from byheart.planning.calibration import Calibration, find, user_directory
from byheart.sweep.engines import Job, Outcome
from byheart.sweep.progress import Silent
from sweeps_for_tests import InProcess, Listener, done


@pytest.fixture(autouse=True)
def quick(tmp_path, monkeypatch, tiny_base):
    """This user's directory, a model that is loaded already, and small answers."""
    monkeypatch.setenv("BYHEART_DATA", str(tmp_path))
    monkeypatch.setattr(module, "load", lambda *_: tiny_base)
    monkeypatch.setattr(module, "LONGEST_TOKENS", 120)


@pytest.fixture
def config(tiny_base):
    return RunConfig.build(None, model=tiny_base.identity.name, layers="1", modules="down_proj")


def outcome(job: Job) -> Outcome:
    """What is held comes back: up to 0.2 bits a parameter."""
    rank, per_rank, num_records = job.run["placement"]["lora_rank"], 192, len(job.records)
    num_tokens = sum(len(record["messages"][-1]["content"]) for record in job.records)
    holds = num_tokens * 6.0 / math.log(2) < 0.2 * rank * per_rank
    return done(
        job.name,
        lora_rank=rank,
        num_parameters=rank * per_rank,
        num_records=num_records,
        num_answer_tokens=num_tokens,
        nll_after_nats=0.1 if holds else 3.0,
        num_certified=num_records if holds else 0,
        stop_reason="certified" if holds else "budget",
    )


def prepared(config, base, reporter):
    outline = resolve(config.placement, base.model, 1)
    return module.prepared(config, base, outline, module.bits_per_unit(base, config, outline), reporter)


def test_its_cells_are_run_with_learnings_own_settings_and_found_by_a_plan(config, tiny_base):
    jobs: list[Job] = []

    def kept(job: Job) -> Outcome:
        jobs.append(job)
        return outcome(job)

    calibration, path = calibrate(config, engine=InProcess(kept), reporter=Silent())
    assert Calibration.read(path) == calibration
    assert find(tiny_base.identity, resolve(config.placement, tiny_base.model, 1), config) == calibration
    assert len(calibration.cells) == len(jobs)
    assert 0 < calibration.recall.num_reached < len(jobs)
    default = config.model_dump(mode="json")
    assert all(job.run["learn"] == default["learn"] and job.run["method"] == default["method"] for job in jobs)
    assert {cell.group for cell in calibration.cells} == {"random", "prose", "phonebook"}
    assert calibration.parameters_per_rank == 192


def test_the_cheapest_cell_is_run_first_and_then_the_dearest(config, tiny_base):
    cheapest, *others = (cell.work for cell in prepared(config, tiny_base, Silent()))
    assert cheapest <= min(others)
    assert others == sorted(others, reverse=True)


def test_the_time_is_told_by_the_first_cell_that_came_to_its_end(config, tiny_base):
    listener = Listener()
    failed, first, *rest = prepared(config, tiny_base, listener)

    def slow(job: Job) -> Outcome:
        """Each in a hundred seconds and a quarter of its budget, but for the cheapest, which fails."""
        if job.name == failed.name:
            return Outcome(job.name, error="no room")
        found = outcome(job)
        return replace(found, numbers={**(found.numbers or {}), "seconds": 100.0, "epochs": epochs})

    budget = first.run.learn.budget_epochs(len(first.memory))
    epochs = budget // 4
    calibrate(config, engine=InProcess(slow), reporter=listener)
    (told,) = [sentence for sentence in listener.sentences if "by what one took" in sentence]
    seconds = 100 * (failed.work + sum(cell.work for cell in rest)) / first.work
    minutes, most = math.ceil(seconds / 60), math.ceil(budget / epochs * seconds / 60)
    assert f"100 s, the others take about {minutes} min if they end as early" in told
    assert told.endswith(f"at most {most} min")


def test_a_damaged_cell_is_run_again(config):
    _, path = calibrate(config, engine=InProcess(outcome), reporter=Silent())
    damaged = next(path.with_suffix(".cells").rglob("result.json"))
    damaged.write_text("{")
    again: list[str] = []

    def kept(job: Job) -> Outcome:
        again.append(job.name)
        return outcome(job)

    calibrate(config, engine=InProcess(kept), reporter=Silent())
    assert again == [damaged.parent.name]


def test_what_an_earlier_start_took_tells_no_time(config):
    calibrate(config, engine=InProcess(outcome), reporter=Silent())
    listener = Listener()
    calibrate(config, engine=InProcess(outcome), reporter=listener)
    assert not [sentence for sentence in listener.sentences if "by what one took" in sentence]


def test_cells_of_two_dtypes_are_no_calibration(config):
    def some_in_float32(job: Job) -> Outcome:
        found, is_large = outcome(job), job.run["placement"]["lora_rank"] > 8
        return replace(found, numbers={**(found.numbers or {}), "dtype": "float32" if is_large else "bfloat16"})

    with pytest.raises(LawError, match="ran in bfloat16 and float32"):
        calibrate(config, engine=InProcess(some_in_float32), reporter=Silent())


def test_cells_that_had_other_threads_tell_no_time(config):
    def some_with_two(job: Job) -> Outcome:
        found, is_large = outcome(job), job.run["placement"]["lora_rank"] > 8
        return replace(found, numbers={**(found.numbers or {}), "num_threads": 2 if is_large else 1})

    alike, _ = calibrate(config, engine=InProcess(outcome), reporter=Silent())
    mixed, _ = calibrate(config, out=user_directory() / "other", engine=InProcess(some_with_two), reporter=Silent())
    assert alike.timing is not None
    assert mixed.timing is None


def test_where_no_cell_can_fail_that_is_said_before_any_is_run(monkeypatch, tiny_base):
    listener = Listener()
    monkeypatch.setattr(module, "LONGEST_TOKENS", 2)
    monkeypatch.setattr("byheart.calibrating.grid.MOST_PAIRS", 2)
    large = RunConfig.build(None, model=tiny_base.identity.name, layers="all", modules="all-linear")
    prepared(large, tiny_base, listener)
    assert any("if all cells are held" in sentence for sentence in listener.sentences)


def test_its_cells_are_one_sweep(config):
    """The engine is entered once, standings count all cells from the first, and a failed one is not run twice."""
    engine = InProcess(lambda job: Outcome(job.name, error="no") if len(engine.begun) == 1 else outcome(job))
    listener = Listener()
    calibration, _ = calibrate(config, engine=engine, reporter=listener)
    assert calibration.num_failed == 1
    assert len(engine.begun) == len(set(engine.begun)) == len(calibration.cells) + 1
    assert {standing.num_cells for standing in listener.standings} == {len(engine.begun)}


def test_it_goes_on_with_the_cells_that_are_left(config):
    num_asked = 0

    def interrupted() -> bool:
        nonlocal num_asked
        num_asked += 1
        return num_asked > 6

    first = InProcess(outcome)
    with pytest.raises(InterruptedRunError, match="cells have a result"):
        calibrate(config, engine=first, reporter=Silent(), interrupted=interrupted)
    assert not list(user_directory().glob("*.json"))
    rest = InProcess(outcome)
    calibration, _ = calibrate(config, engine=rest, reporter=Silent())
    assert first.begun
    assert not set(first.begun) & set(rest.begun)
    assert len(first.begun) + len(rest.begun) == len(calibration.cells)


def test_a_failed_cell_is_counted_and_the_rest_is_fitted(config):
    failed: list[str] = []

    def once(job: Job) -> Outcome:
        if job.run["placement"]["lora_rank"] == 8 and len(job.records) > 1:
            failed.append(job.name)
            return Outcome(job.name, error="out of memory")
        return outcome(job)

    calibration, _ = calibrate(config, engine=InProcess(once), reporter=Silent())
    assert calibration.num_failed == len(set(failed)) > 0


def test_where_every_cell_fails_the_first_error_is_told(config):
    engine = InProcess(lambda job: Outcome(job.name, error="OutOfMemoryError: no room"))
    with pytest.raises(LawError, match=r"all \d+ cells failed, the first with OutOfMemoryError: no room"):
        calibrate(config, engine=engine, reporter=Silent())


def test_cells_that_all_fail_to_recall_make_no_calibration(config):
    with pytest.raises(LawError, match="of which 0 reached the goal"):
        calibrate(config, engine=InProcess(lambda job: done(job.name, num_certified=0)), reporter=Silent())
    assert not list(user_directory().glob("*.json"))


def test_sizes_stay_what_the_first_start_made_them(config, monkeypatch):
    jobs: list[str] = []

    def kept(job: Job) -> Outcome:
        jobs.append(job.name)
        return outcome(job)

    calibrate(config, engine=InProcess(kept), reporter=Silent())
    first = len(jobs)
    real = module.bits_per_unit
    monkeypatch.setattr(module, "bits_per_unit", lambda *found: {k: 2 * v for k, v in real(*found).items()})
    calibrate(config, engine=InProcess(kept), reporter=Silent())
    assert len(jobs) == first
