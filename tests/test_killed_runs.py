import json
import random
import shutil
import signal
import time
from pathlib import Path

import pytest

from byheart.artifacts import LOCK_FILE
from killed_runs import finish, kill_after, start

KILLED = -signal.SIGKILL
SETTINGS = {
    "model": {"dtype": "float32", "device": "cpu"},
    "placement": {"layers": "top:1", "lora_rank": 8, "lora_dropout": 0.1},
    "method": {"name": "memft-sw"},
    "learn": {"epochs": 6, "learning_rate": 0.005, "batch_size": 1, "plateau_epochs": 1000},
}


TOO_FAST = {
    **SETTINGS,
    "placement": {**SETTINGS["placement"], "lora_dropout": 0.3},
    "learn": {**SETTINGS["learn"], "epochs": 15, "learning_rate": 0.05, "decay": "constant"},
}
"""Gets worse again, so that the weights of an earlier epoch than the last are kept."""


def settings(of=SETTINGS, **learn):
    return {**of, "learn": {**of["learn"], **learn}}


def weights_epoch(out: Path) -> int:
    return json.loads((out / "byheart.json").read_text())["weights_epoch"]


def lasting(out: Path) -> dict[str, bytes]:
    """What must be the same however often a run was killed."""
    return {name: (out / name).read_bytes() for name in ("adapter_model.safetensors", "adapter_config.json")} | {
        "certificate.json": (out / "certificate.json").read_bytes()
    }


def epochs(out: Path) -> list[int]:
    return [json.loads(line)["epoch"] for line in (out / "metrics.jsonl").read_text().splitlines()]


def leftovers(out: Path) -> set[str]:
    return {path.name for path in out.iterdir() if path.name.startswith(".") or path.name.startswith("checkpoint")}


RESTING = {
    **SETTINGS,
    "method": {"name": "memft-ot", "rest_epochs": 2},
    "learn": {**SETTINGS["learn"], "epochs": 40, "learning_rate": 0.02, "batch_size": 2},
}
"""Learns its records one after the other, so that some rest; certified at its end."""


GROWING = {
    **SETTINGS,
    "placement": {**SETTINGS["placement"], "lora_rank": "auto"},
    "learn": {**SETTINGS["learn"], "epochs": 3, "max_growths": 2},
}
"""Has too small a budget at every rank."""


@pytest.fixture(scope="module")
def unbroken(tiny_model_directory, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("unbroken") / "run"
    assert finish(tiny_model_directory, out, SETTINGS) == 0
    assert epochs(out) == list(range(1, 7))
    return out


@pytest.mark.parametrize(("checkpoint_seconds", "budget"), [(0, 2**30), (0.05, 0)], ids=["memory", "disk"])
def test_a_run_killed_again_and_again_ends_with_the_same_bytes(
    unbroken, tiny_model_directory, tmp_path, checkpoint_seconds, budget
):
    rng = random.Random(f"{checkpoint_seconds}/{budget}")
    config = settings(checkpoint_seconds=checkpoint_seconds, activation_memory_bytes=budget)
    out = tmp_path / "run"
    codes = [kill_after(tiny_model_directory, out, config, rng.uniform(0.02, 0.4)) for _ in range(5)]
    assert KILLED in codes
    assert finish(tiny_model_directory, out, config) == 0
    assert lasting(out) == lasting(unbroken)
    assert epochs(out) == epochs(unbroken)
    assert not leftovers(out)


def test_a_run_that_keeps_the_weights_of_an_earlier_epoch_does_so_however_often_it_was_killed(
    tiny_model_directory, tmp_path
):
    whole, out, config = tmp_path / "whole", tmp_path / "run", settings(TOO_FAST, checkpoint_seconds=0)
    assert finish(tiny_model_directory, whole, TOO_FAST) == 0
    assert weights_epoch(whole) < 15
    # About five writes an epoch: three times within the first window, and once after its look.
    for at in (9, 30, 13, 20):
        assert finish(tiny_model_directory, out, config, die_at_sync=2 * at) == KILLED
    assert 10 < len(epochs(out)) < 15
    assert finish(tiny_model_directory, out, config) == 0
    assert lasting(out) == lasting(whole)
    assert weights_epoch(out) == weights_epoch(whole)
    assert epochs(out) == epochs(whole)


def test_a_run_whose_records_rest_ends_with_the_same_bytes_however_often_it_was_killed(tiny_model_directory, tmp_path):
    whole, out, config = tmp_path / "whole", tmp_path / "run", settings(RESTING, checkpoint_seconds=0)
    assert finish(tiny_model_directory, whole, RESTING) == 0
    lines = [json.loads(line) for line in (whole / "metrics.jsonl").read_text().splitlines()]
    assert min(line["num_visited_records"] for line in lines) < 4
    for at in (20, 31, 17):
        assert finish(tiny_model_directory, out, config, die_at_sync=2 * at) == KILLED
    assert finish(tiny_model_directory, out, config) == 0
    assert lasting(out) == lasting(whole)
    assert epochs(out) == epochs(whole)


@pytest.mark.parametrize("checkpoint_seconds", [0, 1e6])
def test_a_run_whose_adapter_grows_ends_with_the_same_bytes_however_often_it_was_killed(
    tiny_model_directory, tmp_path, checkpoint_seconds
):
    whole, out = tmp_path / "whole", tmp_path / "run"
    config = settings(GROWING, checkpoint_seconds=checkpoint_seconds)
    assert finish(tiny_model_directory, whole, GROWING) == 0
    growths = json.loads((whole / "byheart.json").read_text())["growths"]
    assert [growth["epoch"] for growth in growths] == [3, 6]
    code, num_killed = KILLED, 0
    for at in range(3, 60, 2 if checkpoint_seconds else 8):
        code = finish(tiny_model_directory, out, config, die_at_sync=at)
        if code != KILLED:
            break
        num_killed += 1
    assert num_killed >= 3
    assert finish(tiny_model_directory, out, config) == 0
    assert lasting(out) == lasting(whole)
    assert json.loads((out / "byheart.json").read_text())["growths"] == growths
    assert epochs(out) == epochs(whole)


def test_a_second_run_in_the_same_place_ends_at_once_and_the_first_goes_on(unbroken, tiny_model_directory, tmp_path):
    out = tmp_path / "run"
    first = start(tiny_model_directory, out, SETTINGS)
    while not (out / "metrics.jsonl").exists():
        assert first.is_alive()
        time.sleep(0.01)
    assert finish(tiny_model_directory, out, SETTINGS) == 2
    told = out.with_suffix(".error").read_text()
    assert told.startswith(f"ArtifactError: {out} is in use by process {first.pid}; ")
    first.join(120)
    assert first.exitcode == 0
    assert lasting(out) == lasting(unbroken)
    assert not leftovers(out)


def test_the_lock_that_a_killed_run_leaves_behind_locks_nothing(unbroken, tiny_model_directory, tmp_path):
    out = tmp_path / "run"
    assert finish(tiny_model_directory, out, SETTINGS, die_at_sync=2) == KILLED
    assert (out / LOCK_FILE).exists()
    assert finish(tiny_model_directory, out, SETTINGS) == 0
    assert lasting(out) == lasting(unbroken)
    assert not leftovers(out)


def test_a_run_killed_at_every_write_in_turn_ends_with_the_same_bytes(unbroken, tiny_model_directory, tmp_path):
    out, config, code, num_killed = tmp_path / "run", settings(checkpoint_seconds=1e6), KILLED, 0
    for at in range(1, 40):
        # Ever later in the run, in the directory that the one before left behind.
        code = finish(tiny_model_directory, out, config, die_at_sync=at)
        if code != KILLED:
            break
        num_killed += 1
    assert code == 0
    assert num_killed >= 10
    assert lasting(out) == lasting(unbroken)
    assert epochs(out) == epochs(unbroken)
    assert not leftovers(out)


@pytest.mark.parametrize("at", [1, 2, 30])
def test_a_run_killed_once_while_it_writes_goes_on(unbroken, tiny_model_directory, tmp_path, at):
    out, config = tmp_path / "run", settings(checkpoint_seconds=0)
    assert finish(tiny_model_directory, out, config, die_at_sync=at) == KILLED
    assert finish(tiny_model_directory, out, config) == 0
    assert lasting(out) == lasting(unbroken)


def test_a_disk_without_room_is_told_and_the_run_goes_on_once_there_is(unbroken, tiny_model_directory, tmp_path):
    out = tmp_path / "run"
    assert finish(tiny_model_directory, out, settings(checkpoint_seconds=0), die_at_sync=25) == KILLED
    before = (out / "checkpoint.safetensors").read_bytes()
    assert finish(tiny_model_directory, out, SETTINGS, largest_file=1000) == 2
    assert "ArtifactError: cannot write" in out.with_suffix(".error").read_text()
    assert (out / "checkpoint.safetensors").read_bytes() == before
    assert finish(tiny_model_directory, out, SETTINGS) == 0
    assert lasting(out) == lasting(unbroken)


def test_a_disk_without_room_for_activations_is_told(tiny_model_directory, tmp_path):
    out = tmp_path / "run"
    assert finish(tiny_model_directory, out, settings(activation_memory_bytes=0), largest_file=1000) == 2
    told = out.with_suffix(".error").read_text()
    assert "ArtifactError: cannot keep activations" in told
    assert "free disk space or raise activation_memory_bytes" in told


def test_a_half_written_checkpoint_is_never_taken(unbroken, tiny_model_directory, tmp_path):
    out = tmp_path / "run"
    assert finish(tiny_model_directory, out, settings(checkpoint_seconds=0), die_at_sync=25) == KILLED
    torn = (out / "checkpoint.safetensors").read_bytes()[:-100]
    (out / ".checkpoint.safetensors.abc.partial").write_bytes(torn)
    assert finish(tiny_model_directory, out, SETTINGS) == 0
    assert lasting(out) == lasting(unbroken)


def test_a_run_goes_on_from_where_it_was_and_does_not_begin_anew(tiny_model_directory, tmp_path):
    out, copy = tmp_path / "run", tmp_path / "copy"
    assert finish(tiny_model_directory, out, settings(checkpoint_seconds=0), die_at_sync=60) == KILLED
    shutil.copytree(out, copy)
    lines = (copy / "metrics.jsonl").read_text().splitlines()
    assert len(lines) >= 4
    assert finish(tiny_model_directory, out, SETTINGS) == 0
    assert (out / "metrics.jsonl").read_text().splitlines()[: len(lines) - 1] == lines[:-1]
