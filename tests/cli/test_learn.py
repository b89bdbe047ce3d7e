import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from byheart.certification.certificate import Certificate
from conftest import PAIRS

KEYS = [
    "num_records",
    "num_answer_tokens",
    "exact_match",
    "num_certified",
    "num_recited",
    "num_failed",
    "token_accuracy",
    "nll_nats",
    "min_probability",
    "lora_rank",
    "num_parameters",
    "bits_per_parameter",
    "epochs",
    "train_seconds",
    "total_seconds",
    "model",
    "bundle",
]
FILES = {
    "adapter_config.json",
    "adapter_model.safetensors",
    "byheart.json",
    "certificate.json",
    "metrics.jsonl",
    "records.jsonl",
}


def test_a_bundle_is_written_and_the_outcome_told(learnt):
    out, result = learnt
    assert {path.name for path in out.iterdir()} >= FILES
    assert "4 of 4 records come back to the letter; every token above 0.5 (lowest 0." in result.stdout
    assert "4 certified, 0 recited, 0 failed" in result.stdout
    assert "Code of the vault? → 4711-0815" in result.stdout
    assert "Say it. → ·leading and trailing·\n" in result.stdout
    assert f"byheart show {out}" in result.stdout
    assert f"byheart recite {out} 'Where is the key?'" in result.stdout
    assert "4 records in" in result.stderr
    assert "epochs in 0:" in result.stderr


def test_where_there_is_no_terminal_there_are_no_escapes_and_few_lines(learnt):
    _, result = learnt
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", result.output)
    assert len(result.stderr.splitlines()) < 25


def test_the_same_command_again_finds_the_result(learnt, tiny_model_directory, settings, records, invoke):
    out, _ = learnt
    command = ["learn", records, "--out", out, "--model", tiny_model_directory, "--config", settings, "--json"]
    result = invoke(*command)
    assert result.exit_code == 0
    assert "already holds the result" in result.stderr
    values = json.loads(result.stdout)
    assert list(values) == KEYS
    assert (values["num_records"], values["exact_match"], values["bundle"]) == (4, 1.0, str(out))


def test_some_failed(tmp_path, tiny_model_directory, records, invoke):
    """The bundle is written all the same; and flags win over the YAML, whose format section is heeded."""
    settings = tmp_path / "short.yaml"
    settings.write_text(
        "model: {dtype: float32, device: cpu}\n"
        "placement: {lora_rank: 8, layers: all}\n"
        "format: {format: jsonl}\n"
        "learn: {epochs: 1}\n"
    )
    data = tmp_path / "records.data"
    data.write_bytes(records.read_bytes() + records.read_bytes())
    out = tmp_path / "out"
    result = invoke(
        *["learn", data, "--out", out, "--model", tiny_model_directory, "--config", settings],
        *["--lora-rank", "2", "--layers", "1", "--modules", "down_proj", "--method", "sft", "--seed", "7", "--json"],
        *["--margin", "0.2"],
    )
    assert result.exit_code == 3
    values = json.loads(result.stdout)
    assert list(values) == KEYS
    assert (values["num_records"], values["lora_rank"], values["num_failed"], values["epochs"]) == (4, 2, 4, 1)
    assert len(Certificate.read(out / "certificate.json").records) == 4
    written = json.loads((out / "byheart.json").read_text())
    assert (written["settings"]["seed"], written["settings"]["method"]["name"]) == (7, "sft")
    assert written["settings"]["method"]["margin"] == 0.2
    assert written["placement"]["layers"] == [1]
    assert "4 exact duplicates merged" in result.stderr
    assert "0 of 4 records come back to the letter; 4 do not" in result.stderr
    assert "Code of the vault?  token 1 of " in result.stderr
    assert "expected " in result.stderr
    assert "  not the answer" in result.stderr


@pytest.fixture
def no_engine(monkeypatch):
    """Whoever imports the engine fails: what is found wrong is found before that."""
    monkeypatch.setitem(sys.modules, "byheart.pipeline", None)


@pytest.mark.usefixtures("no_engine")
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--lora-rank", "many"], "--lora-rank 'many': give auto or a positive integer"),
        (["--lora-rank", "0"], "--lora-rank '0': give auto or a positive integer"),
        (["--lora-rank", "²"], "--lora-rank '²': give auto or a positive integer"),
        (["--method", "memft-to"], "unknown method 'memft-to' (did you mean 'memft-ot'?); allowed: sft, memft-ot"),
        (["--margin", "much"], "margin 'much' is no margin; give a number from 0 to below 0.5, or nats, such as"),
        (["--seed", "-1"], "seed: "),
        (["--config", "nowhere.yaml"], "nowhere.yaml"),
    ],
)
def test_a_flag_that_is_wrong(flags, message, records, tmp_path, invoke):
    result = invoke("learn", records, "--out", tmp_path / "out", "--json", *flags)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert message in result.stderr
    assert result.stdout == ""
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("no_engine")
@pytest.mark.parametrize(
    ("yaml", "message"),
    [
        ("learn: {epoch: 3}", "unknown setting 'learn.epoch' (did you mean 'learn.epochs'?)"),
        ("methd: {name: sft}", "unknown setting 'methd' (did you mean 'method'?)"),
        ("learn: {epochs: 0}", "learn.epochs"),
        ("placement: {lora_rank: 0}", "placement.lora_rank"),
        ("learn: [", "is not YAML"),
        ("- learn", "expected a mapping"),
    ],
)
def test_settings_that_are_wrong(yaml, message, records, tmp_path, invoke):
    path = tmp_path / "settings.yaml"
    path.write_text(yaml)
    result = invoke("learn", records, "--out", tmp_path / "out", "--config", path)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stdout == ""


@pytest.mark.usefixtures("no_engine")
def test_records_that_are_wrong_are_told_all_at_once(tmp_path, invoke):
    path = tmp_path / "bad.jsonl"
    path.write_text(
        '{"prompt": "a", "completion": "1"}\n{"prompt": "b"}\nnot json\n{"prompt": "a", "completion": "2"}\n'
    )
    result = invoke("learn", path, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert all(f"bad.jsonl:{line}" in result.stderr for line in (2, 3, 4))
    assert "Traceback" not in result.output
    assert "there is no such file" in invoke("learn", tmp_path / "none.jsonl", "--out", tmp_path / "out").stderr


def test_an_answer_whose_end_is_not_learnt_is_recited_to_its_length(tmp_path, tiny_model_directory, records, invoke):
    settings = tmp_path / "endless.yaml"
    settings.write_text(
        "model: {dtype: float32, device: cpu}\n"
        "encode: {learn_end: false}\n"
        "placement: {layers: all, lora_rank: 32}\n"
        "learn: {epochs: 100, learning_rate: 1.0e-2, batch_size: 4}\n"
    )
    command = ["learn", records, "--out", tmp_path / "out", "--model", tiny_model_directory, "--config", settings]
    result = invoke(*command)
    assert result.exit_code == 0, result.output
    assert "Code of the vault? → 4711-0815\n" in result.stdout
    assert "not the answer" not in result.stdout


def test_a_place_that_cannot_be_used(records, tmp_path, invoke):
    (tmp_path / "file").write_text("")
    (tmp_path / "strange").mkdir()
    (tmp_path / "strange" / "novel.txt").write_text("")
    for out in ("file", "strange"):
        result = invoke("learn", records, "--out", tmp_path / out, "--json")
        assert result.exit_code == 2
        assert "choose another --out" in result.stderr
        assert result.stdout == ""


def test_a_model_that_is_not_there(records, tmp_path, invoke):
    result = invoke("learn", records, "--out", tmp_path / "out", "--model", "smollm2-135")
    assert result.exit_code == 2
    assert "did you mean 'smollm2-135m'?" in result.stderr


def test_interrupted_and_taken_up_again(tmp_path, tiny_model_directory, settings, write_records, invoke):
    records = write_records(tmp_path / "records.jsonl", [*PAIRS, *((f"{n}?", f"{n * n:04}") for n in range(10, 18))])
    out = tmp_path / "out"
    command = ["learn", records, "--out", out, "--model", tiny_model_directory, "--config", settings, "--json"]
    arguments = [sys.executable, "-m", "byheart", *map(str, command)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        wait_for_lines(out / "metrics.jsonl", 2, process)
        process.send_signal(signal.SIGINT)
        told, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert told == ""
    assert "interrupted: stopped in epoch " in errors
    assert f"give the same command again and it goes on from the checkpoint in {out}" in errors
    assert "Traceback" not in errors
    unfinished = invoke("show", out)
    assert unfinished.exit_code == 2
    assert "unfinished run" in unfinished.stderr
    result = invoke(*command)
    assert result.exit_code == 0, result.output
    assert "going on after epoch" in result.stderr
    assert {path.name for path in out.iterdir()} >= FILES
    assert not (out / "checkpoint.safetensors").exists()


def wait_for_lines(path: Path, number: int, process: subprocess.Popen[str]) -> None:
    for _ in range(1200):
        if path.exists() and path.read_bytes().count(b"\n") >= number:
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    raise AssertionError(f"{path} did not get {number} lines")
