"""A command line to call in this process, and one finished bundle of the tiny model."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from byheart.cli.main import app
from conftest import PAIRS

Invoke = Callable[..., Result]


def _write_records(path: Path, pairs: Sequence[tuple[str, str]]) -> Path:
    lines = (json.dumps({"prompt": prompt, "completion": answer}) + "\n" for prompt, answer in pairs)
    path.write_text("".join(lines), encoding="utf-8")
    return path


def _invoke(*arguments: object, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin)


@pytest.fixture
def invoke() -> Invoke:
    """``byheart`` with arguments; gives exit code, stdout and stderr."""
    return _invoke


@pytest.fixture
def write_records() -> Callable[[Path, Sequence[tuple[str, str]]], Path]:
    """Writes pairs to a JSONL file of prompts and completions, and gives its path back."""
    return _write_records


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A YAML with which the tiny model learns four records within seconds."""
    path = tmp_path_factory.mktemp("settings") / "tiny.yaml"
    path.write_text(
        "model: {dtype: float32, device: cpu}\n"
        "placement: {layers: all, lora_rank: 32}\n"
        "learn: {epochs: 100, learning_rate: 1.0e-2, batch_size: 4}\n"
    )
    return path


@pytest.fixture(scope="session")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four records: spaces at the ends, newlines, letters beyond ASCII."""
    return _write_records(tmp_path_factory.mktemp("records") / "four.jsonl", PAIRS)


@pytest.fixture(scope="session")
def learnt(
    tmp_path_factory: pytest.TempPathFactory, tiny_model_directory: Path, settings: Path, records: Path
) -> tuple[Path, Result]:
    """A bundle in which every record is certified, and how the command that made it went."""
    out = tmp_path_factory.mktemp("learnt") / "bundle"
    result = _invoke("learn", records, "--out", out, "--model", tiny_model_directory, "--config", settings)
    assert result.exit_code == 0, result.output
    return out, result


@pytest.fixture
def bundle(learnt: tuple[Path, Result]) -> Path:
    """The finished bundle; tests must leave it as it is."""
    return learnt[0]
