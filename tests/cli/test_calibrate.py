import json

import pytest

from byheart.config import RunConfig
from byheart.errors import InterruptedRunError
from byheart.model.placement import resolve
from plans_for_tests import calibration_of, saturated_or_lost


@pytest.fixture
def calibrated(monkeypatch, tiny_base, tmp_path):
    """Puts a calibration in the place of the work; gives the settings that it was asked with."""
    asked = []

    def work(config, *, out, engine, reporter, interrupted):
        asked.append((config, out, engine.num_slots()))
        outline = resolve(RunConfig().placement.model_copy(update={"layers": "all"}), tiny_base.model, 1)
        made = calibration_of(saturated_or_lost(), tiny_base.identity, outline, config)
        return made.model_copy(update={"num_failed": len(asked) - 1}), tmp_path / "made.json"

    monkeypatch.setattr("byheart.calibrating.calibrate.calibrate", work)
    return asked


def test_the_flags_are_settings_of_the_runs(invoke, calibrated, tmp_path):
    result = invoke("calibrate", "--layers", "20", "--modules", "down_proj", "--method", "sft", "--out", tmp_path)
    assert result.exit_code == 0, result.output
    config, out, _ = calibrated[0]
    assert config == RunConfig.build(None, layers="20", modules="down_proj", method="sft")
    assert out == tmp_path


def test_json_says_where_it_is_and_what_was_fitted(invoke, calibrated, tmp_path):
    told = json.loads(invoke("calibrate", "--json").stdout)
    assert told["calibration"] == str(tmp_path / "made.json")
    assert told["num_cells"] == len(saturated_or_lost())
    assert told["recall"]["reading"] == "bits"
    assert told["forecast"] is None
    assert told["forecast_reason"]


def test_failed_cells_are_an_exit_code(invoke, calibrated):
    assert invoke("calibrate").exit_code == 0
    result = invoke("calibrate")
    assert result.exit_code == 3
    assert "1 failed" in result.stdout


def test_cells_run_in_as_many_workers_as_are_asked_for(invoke, calibrated):
    assert invoke("calibrate", "--workers", "3").exit_code == 0
    assert calibrated[0][2] == 3
    assert "--workers 0" in invoke("calibrate", "--workers", "0").stderr
    assert len(calibrated) == 1


def test_an_unknown_method_is_refused_before_any_work(invoke, calibrated):
    result = invoke("calibrate", "--method", "memft")
    assert result.exit_code == 2
    assert "did you mean" in result.stderr
    assert not calibrated


def test_a_stop_says_that_the_same_command_goes_on(invoke, monkeypatch):
    def stopped(*_, **__):
        raise InterruptedRunError("3 of 36 cells have a result")

    monkeypatch.setattr("byheart.calibrating.calibrate.calibrate", stopped)
    result = invoke("calibrate")
    assert result.exit_code == 130
    assert "3 of 36 cells have a result; the same command goes on with the rest" in result.stderr
