import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from byheart.artifacts import locked
from byheart.errors import ArtifactError, InterruptedRunError, NewerSchemaError, SettingsError
from byheart.sweep.driver import Sweep, sweep
from byheart.sweep.engines import Outcome
from byheart.sweep.grid import read_grid
from byheart.sweep.progress import Silent
from byheart.sweep.results import read_results, read_tokens
from sweeps_for_tests import InProcess, Listener, done


@pytest.fixture
def run(tiny_cells, tmp_path):
    """Runs the tiny grid's cells on an engine."""

    def run(engine, *, cells=tiny_cells, retry_failed=False, reporter=None, interrupted=lambda: False):
        sweeping = Sweep(cells, tmp_path, reporter or Silent(), interrupted)
        return sweeping.run(engine, retry_failed=retry_failed)

    return run


def test_every_cell_is_run_once_and_is_a_row(run, tiny_cells, tmp_path):
    engine = InProcess(num_workers=4)
    results = run(engine)
    assert engine.begun == [cell.name for cell in tiny_cells] == [result.name for result in results]
    assert engine.is_left
    rows = read_results(tmp_path).to_pylist()
    assert [(each["placement.lora_rank"], each["seed"]) for each in rows] == [
        (rank, seed) for rank in (1, 2, 4) for seed in (1, 2)
    ]
    assert {each["status"] for each in rows} == {"done"}
    assert (tmp_path / "cells" / tiny_cells[0].name / "tokens.safetensors").read_bytes() == b"tokens"


def test_what_has_a_result_is_not_run_again(run, tmp_path):
    run(InProcess())
    (tmp_path / "results.parquet").unlink()
    engine = InProcess()
    listener = Listener()
    assert len(run(engine, reporter=listener)) == 6
    assert engine.begun == []
    assert listener.sentences == ["6 of 6 cells have a result already"]
    assert read_results(tmp_path).num_rows == 6


def test_each_result_is_told_of_once_those_found_among_them(tiny_cells, tmp_path):
    told: list[str] = []
    for num_cells in (2, 6):
        told.clear()
        sweeping = Sweep(tiny_cells[:num_cells], tmp_path, Silent(), lambda: False, lambda each: told.append(each.name))
        sweeping.run(InProcess(), retry_failed=False)
        assert told == [cell.name for cell in tiny_cells[:num_cells]]


def test_other_settings_are_other_cells_and_the_table_is_of_the_grid_asked_for(run, tiny_grid, cells_of, tmp_path):
    run(InProcess())
    changed = {**tiny_grid, "base": {**tiny_grid["base"], "learn": {"epochs": 4, "batch_size": 4}}}
    engine = InProcess()
    run(engine, cells=cells_of(changed))
    assert len(engine.begun) == 6
    assert read_results(tmp_path).num_rows == 6
    assert len(list((tmp_path / "cells").iterdir())) == 12


def test_a_failed_cell_is_a_row_and_the_rest_goes_on(run, tiny_cells, tmp_path):
    bad = tiny_cells[2].name
    engine = InProcess(lambda job: Outcome(job.name, error="DivergedError: nan") if job.name == bad else done(job.name))
    listener = Listener()
    results = run(engine, reporter=listener)
    assert [result.status for result in results] == ["done", "done", "failed", "done", "done", "done"]
    assert engine.begun.count(bad) == 1
    assert listener.standings[-1].num_failed == 1
    assert any(
        f"cell {bad} (placement.lora_rank 2, seed 1) failed: DivergedError" in each for each in listener.sentences
    )
    assert read_results(tmp_path).to_pylist()[2]["error"] == "DivergedError: nan"


def test_failed_cells_are_run_again_only_when_asked(run):
    run(InProcess(lambda job: Outcome(job.name, error="no")))
    again = InProcess()
    assert {result.status for result in run(again)} == {"failed"}
    assert again.begun == []
    retried = InProcess()
    assert {result.status for result in run(retried, retry_failed=True)} == {"done"}
    assert len(retried.begun) == 6


def test_a_lost_cell_is_begun_again_and_counts_once(run, tiny_cells, tmp_path):
    lost = []

    def answer(job):
        if job.name == tiny_cells[1].name and not lost:
            lost.append(job.name)
            return Outcome(job.name, error="gone", is_lost=True)
        return done(job.name)

    engine = InProcess(answer, num_workers=2)
    results = run(engine)
    assert engine.begun.count(tiny_cells[1].name) == 2
    assert [result.attempts for result in results] == [1, 2, 1, 1, 1, 1]
    cells = read_results(tmp_path)["cell"].to_pylist()
    assert sorted(cells) == sorted(cell.name for cell in tiny_cells)


def test_a_cell_that_is_always_lost_fails_after_as_many_attempts_as_the_engine_has(run):
    engine = InProcess(lambda job: Outcome(job.name, error="gone", is_lost=True), max_attempts=3)
    results = run(engine)
    assert {(result.status, result.attempts, result.error) for result in results} == {("failed", 3, "gone")}
    assert len(engine.begun) == 18


def test_interrupted_it_waits_for_the_cells_under_way_and_goes_on_later(run, tiny_cells, tmp_path):
    asked = iter([False, False, True])
    engine = InProcess(num_workers=2)
    with pytest.raises(InterruptedRunError, match="3 of 6 cells have a result"):
        run(engine, interrupted=lambda: next(asked, True))
    assert len(engine.begun) == 3
    assert read_results(tmp_path).num_rows == 3
    rest = InProcess()
    assert len(run(rest)) == 6
    assert rest.begun == [cell.name for cell in tiny_cells[3:]]


def test_interrupted_when_nothing_is_left_to_begin_it_is_simply_done(run):
    asked = iter([False] * 6)
    assert len(run(InProcess(), interrupted=lambda: next(asked, True))) == 6


def test_the_grid_is_kept_beside_its_table_and_does_it_again(tiny_grid, cells_of, tmp_path):
    first = sweep(tiny_grid, tmp_path, engine=InProcess())
    engine = InProcess()
    again = sweep(tmp_path / "grid.yaml", tmp_path, engine=engine)
    assert engine.begun == []
    assert [each.name for each in again] == [each.name for each in first]


def test_a_grids_file_is_kept_as_it_was_written(tiny_grid, tmp_path):
    grid = tmp_path / "mine.yaml"
    grid.write_text("# why these ranks\n" + yaml.safe_dump(tiny_grid))
    sweep(grid, tmp_path / "out", engine=InProcess())
    kept = (tmp_path / "out" / "grid.yaml").read_text()
    assert kept.endswith(grid.read_text())
    assert read_grid(tmp_path / "out" / "grid.yaml") == read_grid(grid)


def test_another_grid_in_the_same_place_is_the_one_that_is_kept_with_its_own_table(tiny_grid, tmp_path):
    sweep(tiny_grid, tmp_path, engine=InProcess())
    smaller = {**tiny_grid, "axes": {"lora_rank": [2], "seed": [1, 3]}}

    def killed(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep(smaller, tmp_path, engine=InProcess(killed))
    assert read_grid(tmp_path / "grid.yaml") == read_grid(smaller)
    assert [(row["lora_rank"], row["seed"]) for row in read_results(tmp_path).to_pylist()] == [(4, 1)]
    assert len(list((tmp_path / "cells").iterdir())) == 6


def test_a_grid_that_is_refused_is_not_kept_nor_one_over_what_is_newer(tiny_grid, tiny_cells, tmp_path):
    sweep(tiny_grid, tmp_path, engine=InProcess())
    kept = (tmp_path / "grid.yaml").read_bytes()
    with pytest.raises(SettingsError):
        sweep({**tiny_grid, "axes": {"lora_rank": [0]}}, tmp_path, engine=InProcess())
    path = tmp_path / "cells" / tiny_cells[0].name / "result.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {"schema_version": 99}))
    with pytest.raises(NewerSchemaError):
        sweep({**tiny_grid, "axes": {"lora_rank": [1], "seed": [1]}}, tmp_path, engine=InProcess())
    assert (tmp_path / "grid.yaml").read_bytes() == kept


def test_before_the_first_cell_ends_the_table_is_of_this_grid(run, tiny_cells, tmp_path):
    run(InProcess())
    seen = []

    def answer(job):
        seen.append(read_results(tmp_path).num_rows)
        return done(job.name)

    changed = [replace(cell, run=cell.run.model_copy(update={"seed": 9})) for cell in tiny_cells[:1]]
    run(InProcess(answer), cells=[tiny_cells[1], *changed])
    assert seen == [1]


def test_left_at_once_the_table_is_written_all_the_same(run, tmp_path):
    def answer(job):
        if len(engine.begun) == 3:
            raise KeyboardInterrupt
        return done(job.name)

    engine = InProcess(answer)
    with pytest.raises(KeyboardInterrupt):
        run(engine)
    assert engine.is_left
    assert read_results(tmp_path).num_rows == 2


def test_a_damaged_result_is_run_again(run, tiny_cells, tmp_path):
    run(InProcess())
    (tmp_path / "cells" / tiny_cells[0].name / "result.json").write_text("{")
    engine, listener = InProcess(), Listener()
    run(engine, reporter=listener)
    assert engine.begun == [tiny_cells[0].name]
    assert "is not the JSON of a byheart sweep cell" in listener.sentences[0]


def test_the_result_of_a_newer_byheart_is_not_replaced(run, tiny_cells, tmp_path):
    run(InProcess())
    path = tmp_path / "cells" / tiny_cells[0].name / "result.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {"schema_version": 99}))
    engine = InProcess()
    with pytest.raises(NewerSchemaError, match=r"99.*install a newer byheart"):
        run(engine)
    assert engine.begun == []
    assert json.loads(path.read_bytes())["schema_version"] == 99


def test_a_standing_adds_up(run):
    listener = Listener()
    run(InProcess(num_workers=3), reporter=listener)
    for standing in listener.standings:
        assert standing.num_done + standing.num_failed + standing.num_running <= standing.num_cells == 6
        assert standing.num_running <= 3
    assert listener.standings[0].seconds_left is None
    assert (listener.standings[-1].num_done, listener.standings[-1].seconds_left) == (6, 0.0)


def test_from_a_file_to_a_table(tiny_grid, tmp_path):
    """The whole way, with the model's own tokenizer."""
    import yaml

    path = tmp_path / "grid.yaml"
    path.write_text(yaml.safe_dump(tiny_grid))
    assert len(sweep(path, tmp_path / "out", engine=InProcess())) == 6
    assert read_results(tmp_path / "out").num_rows == 6


def test_nothing_is_begun_where_anything_is_wrong(tiny_grid, tmp_path):
    engine = InProcess()
    with pytest.raises(SettingsError, match=r"lora_rank"):
        sweep({**tiny_grid, "axes": {"lora_rank": [1, 0]}}, tmp_path / "out", engine=engine)
    with pytest.raises(SettingsError, match=r"none\.jsonl"):
        sweep({**tiny_grid, "task": {"name": "records", "source": "none.jsonl"}}, tmp_path / "out", engine=engine)
    with pytest.raises(SettingsError, match="unknown engine 'locl' \\(did you mean 'local'\\?\\)"):
        sweep(tiny_grid, tmp_path / "out", engine="locl")
    with pytest.raises(SettingsError, match="the local engine has none; add --engine ray"):
        sweep(tiny_grid, tmp_path / "out", address="host:6379")
    with pytest.raises(SettingsError, match="--workers 0: give a positive number"):
        sweep(tiny_grid, tmp_path / "out", num_workers=0)
    assert engine.begun == []
    assert not (tmp_path / "out").exists()


def test_two_sweeps_do_not_share_a_directory(tiny_grid, tmp_path):
    with locked(tmp_path), pytest.raises(ArtifactError, match="is in use by process"):
        sweep(tiny_grid, tmp_path, engine=InProcess())


def test_a_cells_folder_says_all_of_its_settings(run, tiny_cells, tmp_path):
    run(InProcess())
    folder = Path(tmp_path / "cells" / tiny_cells[5].name)
    document = json.loads((folder / "result.json").read_text())
    assert document["run"] == tiny_cells[5].run.model_dump(mode="json")
    assert document["task"]["name"] == "records"
    assert document["fingerprint"] == tiny_cells[5].fingerprint
    with pytest.raises(ArtifactError):
        read_tokens(tmp_path, tiny_cells[5].name)  # b"tokens" is no safetensors file
