import json
import re

import pytest

from byheart.cli.plan import print_plan
from byheart.cli.screens import Screen
from byheart.cli.wording import clock
from byheart.config import RunConfig
from byheart.law.plan import Need
from byheart.model.placement import resolve
from byheart.planning.calibration import user_directory
from byheart.planning.planner import plan_for
from byheart.planning.timing import Timing
from plans_for_tests import calibration_of, cell, forecast_of, saturated_or_lost, simulated


@pytest.fixture(autouse=True)
def data_directory(tmp_path, monkeypatch):
    monkeypatch.setenv("BYHEART_DATA", str(tmp_path / "data"))


@pytest.fixture
def calibrated(tiny_base):
    """Stores a calibration of the tiny model's default placement with somebody else's cells; gives it back."""

    def store(cells=None, forecast=None, method=None):
        config = RunConfig.build(None, model=tiny_base.identity.name, layers="all", method=method)
        outline = resolve(config.placement, tiny_base.model, 1)
        cells = saturated_or_lost() if cells is None else cells
        calibration = calibration_of(cells, tiny_base.identity, outline, config, forecast)
        calibration.save(user_directory() / calibration.subject.file_name)
        return calibration

    return store


@pytest.fixture
def plan(invoke, records, tiny_model_directory):
    """``byheart plan`` of four records on the tiny model."""

    def call(*arguments):
        return invoke("plan", records, "--model", tiny_model_directory, "--layers", "all", *arguments)

    return call


def test_one_json_object_says_what_the_library_says(plan, calibrated):
    calibration = calibrated()
    result = plan("--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    made = plan_for(Need(told["num_records"], told["num_answer_tokens"], told["nll_before_nats"]), calibration)
    assert told["num_records"] == 4
    assert told["lora_rank"] == made.lora_rank
    assert told["probability"] == made.chosen.probability >= 0.9
    assert told["num_parameters"] == made.chosen.num_parameters
    assert told["extrapolates"] == made.extrapolates
    assert told["predicted_nll_nats"] is None
    assert [each["lora_rank"] for each in told["ranks"]] == [each.lora_rank for each in made.ranks]


def test_the_table_marks_the_chosen_rank_and_a_sentence_names_it(plan, calibrated):
    calibrated()
    result = plan()
    marked = [line.split() for line in result.stdout.splitlines() if line.endswith("<")]
    assert len(marked) == 1
    assert f"Rank {marked[0][0]} is the smallest that reaches the goal" in result.stdout
    assert "carry no law" in result.stdout


def test_on_a_terminal_the_chosen_rank_is_bold_and_times_say_whose_they_are(calibrated, monkeypatch):
    calibration = calibrated(simulated(), forecast_of(simulated()))
    timing = Timing.of(calibration.observations, [1.0 + cell.num_answer_tokens for cell in calibration.cells])
    calibration = calibration.model_copy(update={"timing": timing})
    made = plan_for(Need(10, 100, 6.0), calibration)
    for name, value in {"FORCE_COLOR": "1", "TERM": "xterm-256color", "COLUMNS": "120"}.items():
        monkeypatch.setenv(name, value)
    terminal = Screen()
    with terminal.capture() as captured:
        print_plan(terminal, made, calibration)
    told = captured.get()
    assert [int(rank) for rank in re.findall(r"^\x1b\[1m *(\d+)", told, re.MULTILINE)] == [made.lora_rank]
    assert made.chosen.seconds is not None
    assert clock(made.chosen.seconds) in told
    assert "Times are those of the calibration's machine" in told


@pytest.mark.parametrize("out", [".", "plan.pdf", "here"])
def test_a_curve_that_has_no_place_is_refused_before_the_model_is_loaded(out, plan, calibrated, tmp_path, monkeypatch):
    calibrated()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    monkeypatch.setattr("byheart.model.base.load", None)
    result = plan("--out", out)
    assert result.exit_code == 2
    assert "--out" in result.stderr and "give a file's name with .svg or .png or no ending" in result.stderr


def test_a_law_predicts_the_loss_that_is_left(plan, calibrated):
    calibrated(simulated(), forecast_of(simulated()))
    told = json.loads(plan("--json").stdout)
    assert 0 <= told["predicted_nll_nats"] < told["nll_before_nats"]


def test_a_plan_that_extrapolates_says_how_far(plan, calibrated):
    far = [
        cell("far", rank, length, 0.01, 0.001, is_whole=rank * 40 > length)
        for rank in (1, 2, 4, 8)
        for length in (40, 80, 160)
    ]
    calibration = calibrated()
    calibration.model_copy(
        update={"cells": calibration_cells(far, calibration)},
    ).save(user_directory() / calibration.subject.file_name)
    result = plan("--json")
    assert json.loads(result.stdout)["extrapolates"]
    assert "This extrapolates: outside what was calibrated lies" in result.stderr
    assert "the loss before by a factor of" in result.stderr


def calibration_cells(cells, calibration):
    from byheart.planning.calibration import CalibrationCell

    more = {"stop_reason": "certified", "epochs": 1, "seconds": 1.0}
    names = CalibrationCell.model_fields
    return tuple(
        CalibrationCell(cell=each.name, **more, **{name: getattr(each, name) for name in names if hasattr(each, name)})
        for each in cells
    )


def test_where_no_rank_does_the_exit_code_and_the_sentence_say_so(plan, calibrated):
    calibrated(
        [
            cell("hard", rank, length, 8.0, 4.0, is_whole=rank >= 16 * length)
            for rank in (1, 2, 4, 8, 16, 32)
            for length in (1, 2, 4)
        ]
    )
    result = plan()
    assert result.exit_code == 3, result.output
    assert "No rank reaches the goal with probability 0.9" in result.stdout


def test_a_plan_is_of_the_method_that_is_asked_for(plan, calibrated):
    calibrated(method="sft")
    assert plan("--method", "sft").exit_code == 0
    other = plan()
    assert other.exit_code == 2
    assert "there is no calibration of" in other.stderr
    assert "and memft-ot; make one" in other.stderr


def test_a_method_that_there_is_not_is_refused_with_the_nearest(plan):
    result = plan("--method", "memft-ott")
    assert result.exit_code == 2
    assert "--method: unknown method 'memft-ott' (did you mean 'memft-ot'?)" in result.stderr


@pytest.mark.parametrize("name", ["plan", "plan.svg", "plan.png"])
def test_the_curve_is_drawn_where_it_is_asked_for(plan, calibrated, tmp_path, name):
    calibrated()
    result = plan("--out", tmp_path / "drawn" / name, "--json")
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in (tmp_path / "drawn").iterdir()) == ["plan.png", "plan.svg"]
    assert "plan.svg" in result.stderr
    bounds = json.loads(result.stdout)["ranks"][0]["probability_interval"]
    assert 0 <= bounds["low"] < bounds["high"] <= 1


def test_without_matplotlib_the_mend_is_told_before_anything_is_loaded(plan, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    result = plan("--out", tmp_path / "plan")
    assert result.exit_code == 2
    assert "pip install 'byheart[report]'" in result.stderr
    assert "loading" not in result.stderr


def test_without_a_calibration_the_mend_is_told(plan):
    result = plan()
    assert result.exit_code == 2
    assert "there is no calibration of" in result.stderr
    assert "byheart calibrate" in result.stderr
    assert "--layers all" in result.stderr


@pytest.mark.parametrize("goal", ["0", "1.5", "nan"])
def test_a_goal_that_is_no_share_is_refused_before_anything_is_loaded(plan, goal):
    result = plan("--goal", goal)
    assert result.exit_code == 2
    assert "give a share of the records" in result.stderr
    assert "loading" not in result.stderr
