import pytest

from byheart.cli.recite import _asked
from byheart.memory.records import Memory, Message
from conftest import PAIRS


@pytest.mark.parametrize(("prompt", "answer"), PAIRS)
def test_the_answer_comes_to_the_byte(prompt, answer, bundle, invoke):
    result = invoke("recite", bundle, "-", stdin=prompt.encode())
    assert result.exit_code == 0
    assert result.stdout_bytes == answer.encode()


def test_a_prompt_as_an_argument_and_an_answer_cut_short(bundle, invoke):
    whole = invoke("recite", bundle, "Code of the vault?")
    assert whole.stdout_bytes == b"4711-0815"
    assert whole.stderr == ""
    cut = invoke("recite", bundle, "Code of the vault?", "--max-new-tokens", 2)
    assert whole.stdout.startswith(cut.stdout)
    assert len(cut.stdout) < len(whole.stdout)


def test_a_newline_is_added_where_a_person_reads(bundle, invoke, monkeypatch):
    monkeypatch.setattr("typer.testing._NamedTextIOWrapper.isatty", lambda self: self.name == "<stdout>", raising=False)
    assert invoke("recite", bundle, "Code of the vault?").stdout_bytes == b"4711-0815\n"


def test_what_is_refused(bundle, tmp_path, invoke):
    for arguments, stdin, message in (
        ([bundle, ""], None, "prompt: it is empty"),
        ([bundle, "-"], b"caf\xe9", "stdin: byte 4 is not UTF-8"),
        ([tmp_path, "Who?"], None, "is not a byheart bundle"),
        ([bundle, "Who?", "--max-new-tokens", 0], None, "--max-new-tokens"),
        ([bundle, "x" * 5000], None, "leave no room"),
    ):
        result = invoke("recite", *arguments, stdin=stdin)
        assert result.exit_code == 2
        assert message in result.stderr
        assert result.stdout == ""


TTY = "typer.testing._NamedTextIOWrapper.isatty"


def test_a_terminal_is_not_steered_and_a_pipe_gets_the_bytes(bundle, invoke, monkeypatch):
    monkeypatch.setattr("byheart.export.bundle.Bundle.recite", lambda *_: "a\x1b[31m\nb")
    assert invoke("recite", bundle, "Who?").stdout_bytes == b"a\x1b[31m\nb"
    monkeypatch.setattr(TTY, lambda self: self.name == "<stdout>", raising=False)
    assert invoke("recite", bundle, "Who?").stdout_bytes == "a␛[31m\nb\n".encode()


def test_a_prompt_that_was_not_learnt_is_answered_and_told(bundle, invoke):
    result = invoke("recite", bundle, "Who else?", "--max-new-tokens", 2)
    assert result.exit_code == 0
    assert result.stderr == "note: no record has this prompt\n"


def test_the_last_turn_of_one_conversation_stands_for_all_of_it():
    first, other = Message("user", "Hello."), Message("user", "Goodbye.")
    greeting, ask = Message("assistant", "Hi."), Message("user", "Who?")
    talk = (first, greeting, ask)
    assert _asked("Who?", Memory.from_pairs([(talk, "I")])) == (
        talk,
        "note: asked with the 2 turns before it, as one record has it",
    )
    two = Memory.from_pairs([(talk, "I"), ((other, greeting, ask), "you")])
    assert _asked("Who?", two) == ("Who?", "note: no record has this prompt")
    assert _asked("Who?", Memory.from_pairs([(talk, "I"), ("Who?", "you")])) == ("Who?", "")
