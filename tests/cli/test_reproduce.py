import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from byheart.paper.exhibits import EXHIBITS
from byheart.paper.preset import preset_names

KEYS = [
    "num_cells",
    "num_done",
    "num_failed",
    "num_unconverged",
    "cell_seconds",
    "tables",
    "figures",
    "missing",
    "directory",
]


@pytest.fixture
def write_preset(tmp_path, tiny_model_directory):
    """Writes a preset of the tiny model's linear rule, with some axes, and gives its path back."""

    def write(**axes) -> Path:
        preset = {
            "about": "made for a test",
            "paper_model": "qwen3-8b",
            "base": {
                "model": {"name": str(tiny_model_directory), "dtype": "float32", "device": "cpu"},
                "placement": {"layers": "all", "lora_rank": 2},
                "learn": {"epochs": 2, "batch_size": 4},
            },
            "experiments": {
                "linear-rule": [{"task": {"name": "linear-rule", "num_pairs": 3, "num_unseen": 2}, "axes": axes}]
            },
        }
        path = tmp_path / "preset.yaml"
        path.write_text(yaml.safe_dump(preset))
        return path

    return write


def test_a_table_and_what_json_says_of_it(write_preset, tmp_path, invoke):
    preset, out = write_preset(method=["sft"]), tmp_path / "out"
    result = invoke("reproduce", "table3", "--preset", preset, "--out", out, "--json")
    assert result.exit_code == 0, result.output
    values = json.loads(result.stdout)
    assert list(values) == KEYS
    assert (values["num_cells"], values["num_done"], values["missing"]) == (1, 1, [])
    assert values["tables"] == [str(out / "tables" / "table3.md"), str(out / "tables" / "table3.csv")]
    assert "1 cells; nobody has measured how long all of it takes" in result.stderr
    assert "| memory | SFT | 2 | 3 |" in (out / "tables" / "table3.md").read_text(encoding="utf-8")


def test_what_cannot_be_made_is_told_and_the_exit_code_says_so(write_preset, tmp_path, invoke):
    preset = write_preset(placement=["9/down_proj"])
    result = invoke("reproduce", "table3", "table4", "--preset", preset, "--out", tmp_path / "out")
    assert result.exit_code == 3, result.output
    assert "cells      0 done, 1 failed" in result.stdout
    assert "missing: table4: no cell of the preset's scenarios is done" in result.stdout
    assert "--retry-failed" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--preset", "smal"], "unknown preset 'smal' (did you mean 'small'?)"),
        (["tabel1", "--preset", "tiny"], "unknown table or figure 'tabel1' (did you mean 'table1'?)"),
        (["--preset", "tiny", "--workers", "0"], "--workers 0: give a positive number"),
    ],
)
def test_what_is_refused(arguments, message, tmp_path, invoke):
    result = invoke("reproduce", *arguments, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert message in result.stderr
    assert not (tmp_path / "out").exists()


def test_help_names_every_preset_and_every_exhibit(invoke):
    told = invoke("reproduce", "--help").stdout
    assert all(name in told for name in preset_names())
    assert all(name in told for name in EXHIBITS if name != "table6")
    assert "table5, 6" in told


def test_ctrl_c_stops_and_the_same_command_goes_on(write_preset, tmp_path, invoke):
    preset, out = write_preset(lora_rank=[1, 2, 3, 4, 5, 6]), tmp_path / "out"
    arguments = ["reproduce", "table3", "--preset", str(preset), "--out", str(out), "--json"]
    with subprocess.Popen(
        [sys.executable, "-m", "byheart", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        wait_for_a_result(out, process)
        process.send_signal(signal.SIGINT)
        told, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    assert told == ""
    assert "the same command goes on with the rest in" in errors
    assert "Traceback" not in errors
    num_done = len(list(out.glob("sweep/cells/*/result.json")))
    assert 1 <= num_done < 6
    result = invoke(*arguments)
    assert result.exit_code == 0, result.output
    assert f"{num_done} of 6 cells have a result already" in result.stderr


def wait_for_a_result(out: Path, process: subprocess.Popen[str]) -> None:
    for _ in range(2400):
        if any(out.glob("sweep/cells/*/result.json")):
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    raise AssertionError("no cell got a result")
