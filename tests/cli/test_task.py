import json

import pytest

from byheart.memory.records import Memory
from byheart.tasks.registry import TASKS


@pytest.fixture
def task(invoke, tiny_model_directory, tmp_path, monkeypatch):
    """``byheart task`` with the tiny model's tokenizer, in a directory of its own."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: invoke("task", *arguments, "--model", tiny_model_directory)


def test_what_is_written_can_be_learnt_and_is_told(task):
    result = task("phonebook", "--pairs", 12, "--out", "book.jsonl")
    assert result.exit_code == 0, result.stderr
    memory = Memory.from_file("book.jsonl")
    assert len(memory) == 12
    assert "12 records" in result.stdout
    assert "byheart learn book.jsonl --out runs/phonebook" in result.stdout


def test_json_is_one_object_on_stdout(task, tiny_model_directory):
    result = task("long-context", "--tokens", 40, "--ratio", 0.5, "--seed", 7, "--out", "text.jsonl", "--json")
    assert json.loads(result.stdout) == {
        "task": {"name": "long-context", "num_answer_tokens": 40, "random_ratio": 0.5, "seed": 7, "source": None},
        "model": str(tiny_model_directory),
        "out": "text.jsonl",
        "num_records": 1,
        "num_answer_tokens": 40,
        "test_out": None,
    }
    assert "40 answer tokens" in result.stderr


def test_unseen_records_go_to_a_file_of_their_own(task):
    result = task("linear-rule", "--pairs", 30, "--out", "learn.jsonl", "--test-out", "unseen.jsonl", "--json")
    learnt, unseen = Memory.from_file("learn.jsonl"), Memory.from_file("unseen.jsonl")
    assert (len(learnt), len(unseen)) == (30, 500)
    assert not {record.prompt for record in learnt} & {record.prompt for record in unseen}
    assert json.loads(result.stdout)["test_out"]["num_records"] == 500


def test_the_first_records_of_a_file(task):
    task("phonebook", "--pairs", 9, "--out", "all.jsonl")
    task("records", "--source", "all.jsonl", "--pairs", 4, "--out", "some.jsonl")
    assert Memory.from_file("some.jsonl").records == Memory.from_file("all.jsonl").records[:4]


def test_that_whole_records_are_fewer_tokens_is_said(task):
    whole = json.loads(task("phonebook", "--pairs", 1, "--out", "one.jsonl", "--json").stdout)["num_answer_tokens"]
    result = task("phonebook", "--tokens", whole + 1, "--out", "book.jsonl")
    assert f"(of {whole + 1} tokens asked for: records are whole)" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["phonbook"], "did you mean 'phonebook'?"),
        (
            ["phonebook", "--ratio", 0.5],
            "--ratio means nothing to task 'phonebook'; it takes --tokens, --pairs, --seed",
        ),
        (["scenarios", "--seed", 1], "it takes no settings"),
        (["records"], "task 'records' needs --source"),
        (["records", "--source", "nope.jsonl"], "--source nope.jsonl: there is no such file"),
        (["phonebook", "--tokens", 9, "--pairs", 9], "--tokens and --pairs both give the size"),
        (["phonebook", "--test-out", "unseen.jsonl"], "--test-out: task 'phonebook' has no unseen records"),
        (["linear-rule", "--test-out", "x.jsonl"], "--test-out x.jsonl is --out itself"),
        (["linear-rule", "--pairs", 9900], "more together than the 10,000 points"),
    ],
)
def test_what_is_refused_before_a_tokenizer_is_loaded(arguments, message, invoke, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("byheart.model.catalog.load_tokenizer", lambda *_: pytest.fail("a tokenizer was loaded"))
    result = invoke("task", *arguments, "--out", "x.jsonl")
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stdout == ""
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten_and_only_jsonl_is_written(task, tmp_path):
    (tmp_path / "mine.jsonl").write_text("mine")
    for place, message in (("mine.jsonl", "mine.jsonl exists; remove it"), ("mine.csv", "let the name end in .jsonl")):
        result = task("scenarios", "--out", place)
        assert result.exit_code == 2
        assert message in result.stderr
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("mine.jsonl", "mine")]


def test_help_names_every_task_and_the_settings_own_defaults(invoke):
    told = " ".join(
        invoke("task", "--help").stdout.replace("long-\n                   context", "long-context").split()
    )
    assert f"One of {', '.join(TASKS)}." in told
    defaults = {name: entry.config.model_fields for name, entry in TASKS.items()}
    assert f"(linear-rule: {defaults['linear-rule']['num_pairs'].default})" in told
    assert f"long-context {defaults['long-context']['num_answer_tokens'].default}, records all" in told
    assert f"(default: {defaults['long-context']['random_ratio'].default:g})" in told
    assert f"that is drawn. (default: {defaults['phonebook']['seed'].default})" in told
