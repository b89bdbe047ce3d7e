import json
from collections import deque

import pytest

from byheart.artifacts import read_json, write_json
from byheart.errors import ArtifactError, InterruptedRunError, NewerSchemaError, SettingsError
from byheart.paper.exhibits import EXHIBITS
from byheart.paper.reproduce import reproduce
from byheart.report.reproduction_files import Contents
from byheart.sweep.progress import Silent
from byheart.sweep.results import read_results
from byheart.sweep.run import run_job


class Here:
    """Runs jobs as a worker would, in this process."""

    max_attempts = 1

    def __init__(self) -> None:
        self.begun: list[str] = []
        self._waiting: deque = deque()

    def __enter__(self):
        return self

    def __exit__(self, kind, error, at):
        pass

    def num_slots(self):
        return 1

    def submit(self, job):
        self.begun.append(job.name)
        self._waiting.append(job)

    def next(self, timeout_seconds):
        return run_job(self._waiting.popleft())


class Listener(Silent):
    def __init__(self) -> None:
        self.sentences: list[str] = []

    def say(self, sentence):
        self.sentences.append(sentence)


@pytest.fixture
def engine() -> Here:
    """In the place of local workers."""
    return Here()


def test_all_of_it_from_one_call_and_nothing_is_run_twice(write_preset, tmp_path, engine):
    preset, out = str(write_preset()), tmp_path / "out"
    made = reproduce(["all"], preset, out, engine=engine)
    assert made.findings.num_failed() == 0
    assert {path.stem for path in made.tables} == {
        "table1",
        "table2",
        "table3",
        "table4",
        "table5",
        "table6",
        "figure3",
    }
    drawn = {path.stem for path in made.figures}
    assert {"figure3", "figure4", "figure5", "figure6", "figure7", "figure8", "figure9", "figure10"} <= drawn
    assert all(path.stat().st_size for path in (*made.tables, *made.figures))
    [missing] = made.missing
    assert "at least 6 are needed (left out: 0 saturated, 4 not converged" in missing
    marker = read_json(out / "reproduction.json", "reproduction", 2)
    assert list(marker["exhibits"]) == list(EXHIBITS)
    names = read_results(out / "sweep").column("cell").to_pylist()
    assert len(names) == len(set(names)) == 14
    assert sorted(engine.begun) == sorted(names), "what several exhibits need is run once"

    again = Listener()
    reproduce(["all"], preset, out, reporter=again, engine=engine)
    assert len(engine.begun) == 14
    assert "14 of 14 cells have a result already" in again.sentences


def test_cells_tell_of_unseen_pairs_and_of_every_epoch(write_preset, tmp_path, engine):
    made = reproduce(["table3"], str(write_preset("linear-rule")), tmp_path / "out", engine=engine)
    for cell in made.findings.done("linear-rule"):
        unseen = made.findings.unseen(cell)
        assert len(unseen) == 4
        recalled = [record.first_failure_position is None for record in unseen]
        assert cell.measured.unseen_exact_match == sum(recalled) / 4
        course = made.findings.course(cell)
        assert course is not None
        assert len(course.nll_nats) == cell.measured.epochs == 2


def test_a_stop_leaves_what_the_next_call_goes_on_with(write_preset, tmp_path, engine):
    preset, out = str(write_preset("linear-rule")), tmp_path / "out"
    polls = iter(range(1000))
    with pytest.raises(InterruptedRunError):
        reproduce(["table3"], preset, out, interrupted=lambda: next(polls) > 0, engine=engine)
    assert not (out / "reproduction.json").exists()
    assert reproduce(["table3"], preset, out, engine=engine).missing == ()


def test_a_cell_that_fails_is_told_and_the_rest_is_made(write_preset, tmp_path, engine):
    broken = {"task": {"name": "scenarios"}, "axes": {"placement": ["all/down_proj", "9/down_proj"]}}
    made = reproduce(
        ["table4"], str(write_preset(experiments={"scenarios": [broken]})), tmp_path / "out", engine=engine
    )
    assert made.findings.num_failed() == 1
    [failed] = [result for result in made.findings.results["scenarios"] if result.measured is None]
    assert (failed.error or "").startswith("PlacementError: layers '9'")
    assert len(made.tables) == 2


def test_settings_tables_run_nothing(write_preset, tmp_path, engine):
    made = reproduce(["table5"], str(write_preset()), tmp_path / "out", engine=engine)
    assert [path.name for path in made.tables] == ["table5.md", "table5.csv"]
    assert not (tmp_path / "out" / "sweep").exists()


def test_the_marker_keeps_what_earlier_calls_made_of_the_same_preset(write_preset, tmp_path, engine):
    out = tmp_path / "out"
    reproduce(["table6"], str(write_preset()), out, engine=engine)
    reproduce(["table5"], str(write_preset(about="told otherwise")), out, engine=engine)
    assert list(Contents.read(out).exhibits) == ["table5", "table6"]
    reproduce(["table6"], str(write_preset("scenarios")), out, engine=engine)
    assert list(Contents.read(out).exhibits) == ["table6"], "another preset's tables are not this one's"


def test_a_marker_of_an_older_byheart_is_written_anew(write_preset, tmp_path, engine):
    out = tmp_path / "out"
    write_json(out / "reproduction.json", "reproduction", 1, {"preset": "small", "exhibits": {}})
    with pytest.raises(ArtifactError, match="of an older byheart"):
        Contents.read(out)
    reproduce(["table5"], str(write_preset()), out, engine=engine)
    assert list(Contents.read(out).exhibits) == ["table5"]


def test_a_marker_of_a_newer_byheart_is_left_as_it_is(write_preset, tmp_path, engine):
    out = tmp_path / "out"
    write_json(out / "reproduction.json", "reproduction", 99, {"preset": "small"})
    written = (out / "reproduction.json").read_bytes()
    with pytest.raises(NewerSchemaError):
        reproduce(["table5"], str(write_preset()), out, engine=engine)
    assert (out / "reproduction.json").read_bytes() == written
    assert not (out / "tables").exists()


def test_what_of_a_cell_is_gone_or_damaged_is_run_again_where_it_is_asked_for(write_preset, tmp_path, engine):
    preset, out = str(write_preset("linear-rule", "scenarios")), tmp_path / "out"
    made = reproduce(["table3", "table4"], preset, out, engine=engine)
    lost, damaged = made.findings.done("linear-rule")
    [other] = made.findings.done("scenarios")
    cells = out / "sweep" / "cells"
    (cells / lost.name / "tokens.safetensors").unlink()
    (cells / damaged.name / "result.json").write_text("{")
    (cells / other.name / "result.json").write_text("{")
    told = Listener()
    again = reproduce(["table3"], preset, out, engine=engine, reporter=told)
    assert sorted(engine.begun[3:]) == sorted([lost.name, damaged.name])
    assert sum("run again" in sentence for sentence in told.sentences) == 2
    assert again.missing == ()


def test_a_call_that_is_stopped_leaves_a_table_of_every_cell_there_is(write_preset, tmp_path, engine):
    preset, out = str(write_preset("linear-rule", "scenarios")), tmp_path / "out"
    reproduce(["table4"], preset, out, engine=engine)
    polls = iter(range(1000))
    with pytest.raises(InterruptedRunError):
        reproduce(["table3"], preset, out, engine=engine, interrupted=lambda: next(polls) > 0)
    assert len(read_results(out / "sweep")) == 2, "the scenarios' cell beside the first of the rule"


def test_what_is_refused_before_anything_runs(write_preset, tmp_path, engine):
    with pytest.raises(SettingsError, match=r"unknown table or figure 'table7' \(did you mean 'table"):
        reproduce(["table7"], str(write_preset()), tmp_path / "out", engine=engine)
    flawed = {"task": {"name": "phonebook"}, "axes": {"lora_rank": [0]}}
    with pytest.raises(SettingsError, match="lora_rank"):
        reproduce(["table5"], str(write_preset(experiments={"law": [flawed]})), tmp_path / "out", engine=engine)
    other = {"task": {"name": "phonebook"}, "axes": {"lora_rank": [1]}}
    with pytest.raises(SettingsError, match="'linear-rule' is of task 'linear-rule', not of 'phonebook'"):
        reproduce(["table5"], str(write_preset(experiments={"linear-rule": [other]})), tmp_path / "out", engine=engine)
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError):
        reproduce(["table5"], str(write_preset()), tmp_path / "file", engine=engine)
    assert not (tmp_path / "out").exists()


def test_the_marker_is_json_that_says_what_is_missing(write_preset, tmp_path, engine):
    made = reproduce(["table2"], str(write_preset("scenarios")), tmp_path / "out", engine=engine)
    told = json.loads((tmp_path / "out" / "reproduction.json").read_text())
    assert told["missing"] == list(made.missing)
    assert "no cell of the preset's long-context or phonebook or phonebook-equal is done" in told["missing"][0]
