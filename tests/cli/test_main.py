import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
import typer

from byheart.cli.exits import PIPE_CLOSED
from byheart.cli.main import app
from byheart.config import RunConfig
from byheart.export.bundle import LONGEST_ANSWER_TOKENS
from byheart.method.config import MethodName
from byheart.model.catalog import CATALOG

FLAGS = {
    "learn": [
        "--config",
        "--help",
        "--json",
        "--layers",
        "--lora-rank",
        "--margin",
        "--method",
        "--model",
        "--modules",
        "--out",
        "--seed",
    ],
    "certify": ["--config", "--help", "--json", "--model", "--out"],
    "recite": ["--help", "--max-new-tokens", "--model"],
    "show": ["--all", "--failed", "--help"],
    "report": ["--help", "--json", "--no-text", "--out"],
    "export": ["--base-gguf", "--check", "--help", "--json", "--model", "--out", "--to"],
    "serve": ["--api-key-file", "--base-gguf", "--help", "--host", "--json", "--model", "--port"],
    "reproduce": [
        "--address",
        "--engine",
        "--help",
        "--json",
        "--model",
        "--out",
        "--preset",
        "--retry-failed",
        "--workers",
    ],
    "plan": ["--goal", "--help", "--json", "--layers", "--method", "--model", "--modules", "--out"],
    "calibrate": ["--help", "--json", "--layers", "--method", "--modules", "--out", "--workers"],
    "fit": ["--axis", "--by", "--help", "--json", "--out"],
    "sweep": ["--address", "--engine", "--help", "--json", "--out", "--retry-failed", "--workers"],
    "task": [
        "--help",
        "--json",
        "--model",
        "--out",
        "--pairs",
        "--ratio",
        "--seed",
        "--source",
        "--test-out",
        "--tokens",
    ],
}
EXAMPLES = (
    "runs/contacts",
    "contacts.jsonl",
    "phonebook",
    "examples/law_probe.yaml",
    "sweeps/probe",
    "all --preset tiny",
    "smollm2-135m",
)
"""How a verb's example in its help goes on."""
HEAVY = ["torch", "transformers", "numpy", "peft", "safetensors", "rich"]
_SPY = f"""
import sys
from byheart.cli.main import main
try:
    main()
finally:
    print("LOADED", [name for name in {HEAVY} if name in sys.modules], file=sys.stderr)
"""


def spied(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", _SPY, *arguments], capture_output=True, text=True, timeout=120, check=False
    )


def flags(verb: str) -> list[str]:
    command = typer.main.get_command(app).commands[verb]  # type: ignore[attr-defined]
    with command.make_context(verb, ["--help"], resilient_parsing=True) as context:
        options = [option for parameter in command.get_params(context) for option in parameter.opts]
    return sorted(option for option in options if option.startswith("--"))


@pytest.mark.parametrize("verb", FLAGS)
def test_the_flags_of_a_verb_are_these_and_fewer_than_ten_besides_help_and_json(verb, invoke):
    assert flags(verb) == FLAGS[verb]
    assert len(set(FLAGS[verb]) - {"--help", "--json"}) < 10
    told = invoke(verb, "--help").stdout
    assert all(flag in told for flag in FLAGS[verb])


def test_there_are_these_verbs(invoke):
    assert sorted(typer.main.get_command(app).commands) == sorted(FLAGS)  # type: ignore[attr-defined]


@pytest.mark.parametrize("arguments", [["--help"], ["learn", "--help"], ["show", "--help"], ["--version"], []])
def test_help_loads_nothing_heavy(arguments):
    done = spied(*arguments)
    assert "LOADED []" in done.stderr
    assert "byheart" in done.stdout + done.stderr


def test_the_spy_sees_what_is_loaded():
    """The test above can fail."""
    assert "LOADED ['rich']" in spied("learn", "missing.jsonl", "--out", "nowhere").stderr


@pytest.mark.parametrize("verb", FLAGS)
def test_help_teaches_an_example_and_the_exit_codes(verb, invoke):
    told = invoke(verb, "--help").stdout
    assert any(f"    byheart {verb} {what}" in told for what in EXAMPLES)
    assert "Exit codes:\n    0 " in told
    assert "    2 " in told


def test_help_names_the_settings_own_defaults_and_allowed_values(invoke):
    told = " ".join(invoke("learn", "--help").stdout.split())
    defaults = RunConfig()
    placement = defaults.placement
    for value in (defaults.model.name, defaults.method.name, placement.lora_rank, placement.layers, placement.modules):
        assert f"(default: {value})" in told
    assert f"order of records. (default: {defaults.seed})" in told
    assert ", ".join(get_args(MethodName)) in told
    assert defaults.model.name in CATALOG
    assert f"(default: {LONGEST_ANSWER_TOKENS})" in " ".join(invoke("recite", "--help").stdout.split())


def test_a_verb_misspelt_is_told_the_nearest(invoke):
    result = invoke("lern")
    assert result.exit_code == 2
    assert "learn" in result.stderr


def test_python_m_byheart_is_the_same_command():
    done = subprocess.run(
        [sys.executable, "-m", "byheart", "--version"], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "byheart 0.1.0\n"


def test_a_reader_who_has_gone_is_no_error(bundle: Path):
    command = [sys.executable, "-m", "byheart", "show", str(bundle), "--all"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert process.returncode == PIPE_CLOSED
