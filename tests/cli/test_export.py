import json
import shutil
import sys

import pytest

from tiny_gguf import write_tiny_gguf


@pytest.fixture
def own(bundle, tmp_path):
    """A copy of the finished bundle that a test may add to."""
    return shutil.copytree(bundle, tmp_path / "vault")


@pytest.fixture(scope="session")
def gguf_file(tiny_base, tmp_path_factory):
    return write_tiny_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf", tiny_base)


def test_checked_in_llama_cpp_it_says_so_and_show_tells_it_afterwards(invoke, own, gguf_file):
    result = invoke("export", own, "--to", "gguf", "--check", "--base-gguf", gguf_file, "--json")
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert (said["engine"]["num_exact"], said["engine"]["num_records"], said["is_exact"]) == (4, 4, True)
    assert (own / "adapter.gguf").is_file()
    shown = invoke("show", own)
    assert "4 of 4 records come back to the letter in llama.cpp on F32" in shown.stdout
    assert shown.exit_code == 0


def test_an_unchecked_export_says_that_nothing_is_certified_there(invoke, own):
    result = invoke("export", own, "--to", "peft")
    assert result.exit_code == 0, result.output
    assert "no engine has run it here" in result.stdout
    assert "--lora-modules vault=" in result.stdout
    assert (own / "peft" / "adapter_model.safetensors").is_file()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--to", "vllm"], "unknown export 'vllm'"),
        (["--to", "mlx", "--check"], "--check: no engine that reads --to mlx"),
        (["--to", "gguf", "--check"], "comes with no GGUF file"),
    ],
)
def test_bad_input_ends_with_2_and_writes_nothing(invoke, own, arguments, reason):
    before = {path.name for path in own.iterdir()}
    result = invoke("export", own, *arguments)
    assert result.exit_code == 2
    assert reason in result.stderr
    assert {path.name for path in own.iterdir()} == before


def test_what_is_refused_is_refused_before_torch_is_loaded(own):
    import subprocess

    (own / "peft").mkdir()
    (own / "peft" / "thesis.txt").write_text("years of work")
    code = (
        "import sys\nfrom byheart.cli.export import export\n"
        "from byheart.errors import ArtifactError\nfrom pathlib import Path\n"
        f"try:\n export(Path({str(own)!r}), 'peft', out=None, check=False, base_gguf=None, model=None, as_json=False)\n"
        "except ArtifactError:\n sys.exit('torch' in sys.modules)\n"
        "sys.exit(9)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=120).returncode == 0


def test_merged_with_failures_ends_with_3_and_calls_nothing_certified(invoke, own, monkeypatch):
    import contextlib

    monkeypatch.setattr("byheart.export.merged.merged", lambda model, adapter: contextlib.nullcontext())
    result = invoke("export", own, "--to", "merged")
    assert result.exit_code == 3, result.output
    assert "not certified: merged weights are rounded once more" in result.stdout
    assert "4 do not" in result.stdout
