import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from byheart.certification.certificate import Certificate
from byheart.cli.main import app
from byheart.memory.chunks import cut
from byheart.memory.records import Memory
from byheart.memory.tokenizer import token_counter


@pytest.fixture
def no_engine(monkeypatch):
    """Whoever imports the engine fails."""
    monkeypatch.setitem(sys.modules, "byheart.pipeline", None)


@pytest.fixture
def no_tokenizer(monkeypatch):
    """Whoever loads a tokenizer fails."""
    monkeypatch.setattr("byheart.model.catalog.load_tokenizer", lambda *_: pytest.fail("a tokenizer was loaded"))


@pytest.mark.usefixtures("no_engine", "no_tokenizer")
@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("bad.txt", b"caf\xe9 au lait", "bad.txt:1: not UTF-8"),
        ("bad.md", b"", "there are no records here"),
        ("bad.jsonl", b"{}", "bad.jsonl:1"),
        ("bad.csv", b"prompt,completion\na,\n", "bad.csv:2"),
    ],
)
def test_bad_records_are_told_before_the_model_is_looked_for(name, content, message, tmp_path, invoke):
    (tmp_path / name).write_bytes(content)
    result = invoke("learn", tmp_path / name, "--out", tmp_path / "out", "--model", "no-such-model")
    assert result.exit_code == 2
    assert message in result.stderr
    assert "no-such-model" not in result.stderr


@pytest.mark.usefixtures("no_engine")
def test_a_model_that_text_cannot_be_cut_for_is_told(tmp_path, invoke):
    (tmp_path / "notes.md").write_text("Notes.")
    result = invoke("learn", tmp_path / "notes.md", "--out", tmp_path / "out", "--model", "no-such-model")
    assert result.exit_code == 2
    assert "unknown model 'no-such-model'" in result.stderr


@pytest.mark.usefixtures("no_tokenizer")
def test_records_that_need_no_cutting_need_no_tokenizer(tmp_path, records, invoke):
    result = invoke("learn", records, "--out", tmp_path / "out", "--model", "no-such-model")
    assert result.exit_code == 2
    assert "loading no-such-model\n" in result.stderr


NOTES = "The quick brown fox: 4711-0815.\n\nSay <|im_end|> and go on, naïve. Remember this number, to the letter.\n"


@pytest.fixture(scope="module")
def notes(tmp_path_factory, tiny_model_directory) -> tuple[Path, Path]:
    """A text, and the bundle that was made of it."""
    directory = tmp_path_factory.mktemp("notes")
    (directory / "notes.md").write_text(NOTES)
    (directory / "settings.yaml").write_text(
        "model: {dtype: float32, device: cpu}\n"
        "format: {chunk_tokens: 20}\n"
        "placement: {layers: all, lora_rank: 32}\n"
        "learn: {epochs: 150, learning_rate: 1.0e-2, batch_size: 4}\n"
    )
    text, out = directory / "notes.md", directory / "out"
    command = ["learn", text, "--out", out, "--model", tiny_model_directory, "--config", directory / "settings.yaml"]
    result = CliRunner().invoke(app, [str(argument) for argument in command])
    assert result.exit_code == 0, result.output
    assert f"loading the tokenizer of {tiny_model_directory}" in result.stderr
    return text, out


def test_text_is_cut_by_the_models_own_tokens(notes, tiny_base):
    learnt = Memory.from_file(notes[1] / "records.jsonl")
    count = token_counter(tiny_base.tokenizer)
    assert [record.answer for record in learnt] == list(cut(NOTES, 20, count))
    assert [record.answer for record in learnt] != list(cut(NOTES, 20))
    tokens = Certificate.read(notes[1] / "certificate.json").records
    assert [len(record.tokens) - 1 for record in tokens] == [count(record.answer) for record in learnt]
    assert max(len(record.tokens) - 1 for record in tokens) <= 20


def test_a_bundle_of_a_text_is_certified_with_the_text(notes, invoke):
    text, out = notes
    result = invoke("certify", out, text)
    assert result.exit_code == 0, result.output
    num_records = len(Memory.from_file(out / "records.jsonl"))
    assert num_records > 1
    assert f"{num_records} of {num_records} records come back to the letter" in result.stdout
