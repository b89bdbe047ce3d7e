import json
import random
import shutil
import signal
from pathlib import Path

import pytest

from killed_runs import finish, kill_after

KILLED = -signal.SIGKILL
SETTINGS = {
    "model": {"dtype": "float32", "device": "cpu"},
    "placement": {"layers": "top:1", "lora_rank": 8, "lora_dropout": 0.1},
    "method": {"name": "memft-sw"},
    "learn": {"epochs": 6, "learning_rate": 0.005, "batch_size": 1, "plateau_epochs": 1000},
}


def settings(**learn):
    return {**SETTINGS, "learn": {**SETTINGS["learn"], **learn}}


def lasting(out: Path) -> dict[str, bytes]:
    """What must be the same however often a run was killed."""
    return {name: (out / name).read_bytes() for name in ("adapter_model.safetensors", "adapter_config.json")} | {
        "certificate.json": (out / "certificate.json").read_bytes()
    }


def epochs(out: Path) -> list[int]:
    return [json.loads(line)["epoch"] for line in (out / "metrics.jsonl").read_text().splitlines()]


def leftovers(out: Path) -> set[str]:
    return {path.name for path in out.iterdir() if path.name.startswith(".") or path.name.startswith("checkpoint")}


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
