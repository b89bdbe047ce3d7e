import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from byheart.sweep.results import read_results
from sweeps_for_tests import rows_of

KEYS = ["num_cells", "num_done", "num_failed", "num_unconverged", "num_exact", "cell_seconds", "table"]


@pytest.fixture
def write_grid(tmp_path, tiny_model_directory, records):
    """Writes a grid of the tiny model's, with some sections changed, and gives its path back."""

    def write(**sections) -> Path:
        grid = {
            "base": {
                "model": {"name": str(tiny_model_directory), "dtype": "float32", "device": "cpu"},
                "placement": {"layers": "all", "lora_rank": 1},
                "learn": {"epochs": 3, "batch_size": 4},
            },
            "task": {"name": "records", "source": str(records)},
            "axes": {"lora_rank": [1, 2]},
            **sections,
        }
        path = tmp_path / "grid.yaml"
        path.write_text(yaml.safe_dump(grid))
        return path

    return write


def test_a_grid_becomes_a_table_and_the_same_command_again_finds_it(write_grid, tmp_path, invoke):
    grid, out = write_grid(axes={"placement": ["all/down_proj", "9/down_proj"]}), tmp_path / "out"
    result = invoke("sweep", grid, "--out", out, "--workers", "1")
    assert result.exit_code == 3, result.output
    assert "cells      1 done, 1 failed" in result.stdout
    assert re.search(r"placement 9/down_proj: PlacementError: layers '9'", result.stdout)
    assert "--retry-failed" in result.stdout
    assert [row["status"] for row in read_results(out).to_pylist()] == ["done", "failed"]
    again = invoke("sweep", grid, "--out", out, "--json")
    assert again.exit_code == 3
    values = json.loads(again.stdout)
    assert list(values) == KEYS
    assert (values["num_cells"], values["num_done"], values["num_failed"]) == (2, 1, 1)
    assert values["table"] == str(out / "results.parquet")
    assert "2 of 2 cells have a result already" in again.stderr


@pytest.mark.parametrize(
    ("sections", "flags", "message"),
    [
        ({"axes": {"lora_rnk": [1]}}, [], "unknown axis 'lora_rnk' (did you mean 'lora_rank'?)"),
        ({"axes": {"lora_rank": [0]}}, [], "placement.lora_rank"),
        ({"task": {"name": "phonbook"}}, [], "did you mean 'phonebook'?"),
        ({}, ["--engine", "dask"], "--engine: unknown engine 'dask'"),
        ({}, ["--workers", "0"], "--workers 0: give a positive number"),
        ({}, ["--address", "a:1"], "--address a:1: the local engine has none"),
    ],
)
def test_what_is_refused(sections, flags, message, write_grid, tmp_path, invoke):
    result = invoke("sweep", write_grid(**sections), "--out", tmp_path / "out", "--json", *flags)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stdout == ""
    assert not (tmp_path / "out").exists()


def test_a_grid_that_is_not_there(tmp_path, invoke):
    result = invoke("sweep", tmp_path / "none.yaml", "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "none.yaml" in result.stderr


def test_ctrl_c_ends_after_the_cell_under_way_and_the_same_command_goes_on(write_grid, tmp_path, invoke):
    grid, out = write_grid(axes={"lora_rank": [1, 2, 3, 4, 5, 6]}), tmp_path / "out"
    arguments = [sys.executable, "-m", "byheart", "sweep", str(grid), "--out", str(out), "--json"]
    with subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        wait_for_a_result(out, process)
        process.send_signal(signal.SIGINT)
        told, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    assert told == ""
    assert re.search(r"interrupted: \d of 6 cells have a result; the same command goes on with the rest in", errors)
    assert "Traceback" not in errors
    num_done = read_results(out).num_rows
    assert 1 <= num_done < 6
    result = invoke("sweep", grid, "--out", out, "--json")
    assert result.exit_code == 0, result.output
    assert f"{num_done} of 6 cells have a result already" in result.stderr
    assert json.loads(result.stdout)["num_done"] == 6


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc to see which processes are left")
def test_a_command_that_is_killed_leaves_no_worker_and_the_same_command_goes_on(write_grid, tmp_path, invoke):
    grid, out = write_grid(axes={"lora_rank": [1, 2, 3, 4, 5, 6]}), tmp_path / "out"
    arguments = [sys.executable, "-m", "byheart", "sweep", str(grid), "--workers", "1", "--out"]
    with subprocess.Popen([*arguments, str(out)], stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        wait_for_a_result(out, process)
        workers = children_of(process.pid)
        assert workers
        process.kill()
        process.wait(timeout=60)
        assert any(not are_running(workers) or time.sleep(0.1) for _ in range(600)), "a worker outlives its sweep"
    num_done = len(list(out.glob("cells/*/result.json")))
    assert 1 <= num_done < 6
    again = invoke("sweep", grid, "--workers", "1", "--out", out, "--json")
    assert again.exit_code == 0, again.output
    assert f"{num_done} of 6 cells have a result already" in again.stderr
    assert invoke("sweep", grid, "--workers", "1", "--out", tmp_path / "unbroken").exit_code == 0
    assert rows_of(out) == rows_of(tmp_path / "unbroken")


def processes() -> dict[int, tuple[str, int]]:
    """State and parent of every process, by its number."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = path.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        found[int(path.parent.name)] = (state, int(parent))
    return found


def children_of(pid: int) -> set[int]:
    return {child for child, (_, parent) in processes().items() if parent == pid}


def are_running(pids: set[int]) -> bool:
    return any(state != "Z" for pid, (state, _) in processes().items() if pid in pids)


def wait_for_a_result(out: Path, process: subprocess.Popen[str]) -> None:
    for _ in range(2400):
        if any(out.glob("cells/*/result.json")):
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    raise AssertionError("no cell got a result")
