import json
from pathlib import Path

import pytest

from byheart.errors import RecordsError
from byheart.memory.records import Memory, Message


def line(**fields) -> str:
    return json.dumps(fields) + "\n"


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt": "q", "completion": " a\r\n"},
        {"query": "q", "target": " a\r\n", "target_len": 2},
        {"question": "q", "matching": " a\r\n", "not_matching": "b", "noise_positions": [1]},
        {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": " a\r\n"}]},
    ],
)
def test_jsonl_in_each_form(read, fields):
    (record,) = read("a.jsonl", line(**fields))
    assert (record.prompt, record.answer) == ("q", " a\r\n")


def test_a_conversation_up_to_the_last_message_is_the_prompt(read):
    turns = [("system", "s"), ("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d")]
    messages = [{"role": role, "content": content} for role, content in turns]
    (record,) = read("a.jsonl", line(id="x", messages=messages))
    assert record.prompt == tuple(Message(role, content) for role, content in turns[:-1])
    assert (record.id, record.answer) == ("x", "d")


def test_whole_numbers_are_taken_as_ids(read):
    assert read("a.jsonl", line(id=298864, query="a", target="b")).records[0].id == "298864"


def test_records_know_their_line(read, tmp_path):
    memory = read("a.jsonl", line(prompt="a", completion="b") + "\n  \n" + line(prompt="c", completion="d"))
    assert [record.where for record in memory] == [f"{tmp_path}/a.jsonl:1", f"{tmp_path}/a.jsonl:4"]


def test_jsonl_may_have_a_byte_order_mark_crlf_and_no_last_newline(read):
    content = (
        "\ufeff" + line(prompt="a", completion="b").replace("\n", "\r\n") + line(prompt="c", completion="d").strip()
    )
    assert len(read("a.jsonl", content)) == 2


def test_a_line_separator_within_a_json_string_does_not_end_the_line(read):
    assert read("a.jsonl", '{"prompt": "a\u2028b", "completion": "c\x85d"}').records[0].answer == "c\x85d"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("prompt: a\n", "a.jsonl:1: not JSON: Expecting value at column 1, in 'prompt: a'"),
        ('{"prompt": "a", "completion": }\n', "not JSON: Expecting value at column 31"),
        ("[1, 2]\n", "a.jsonl:1: a line must be an object with the fields of a record, got [1, 2]"),
        ("[" * 200_000, "nested too deeply"),
        ('{"prompt": "a", "prompt": "b", "completion": "c"}', "field 'prompt' is given twice"),
        (line(prompt="a"), "field 'completion' is missing; a record needs prompt and completion"),
        (line(prompt="", completion="b"), "field 'prompt' is empty"),
        (line(prompt="a", completion=42), "field 'completion' must be text, got 42; write it as a string"),
        (line(prompt="a", completion=None), "field 'completion' must be text, got None"),
        (line(prompt="a", completion="\ud800"), "U+D800, as its character 1"),
        (line(promt="a", completion="b"), "unknown field 'promt' (did you mean 'prompt'?)"),
        (line(prompt="a", completion="b", note="c"), "unknown field 'note'; allowed: prompt, completion, id"),
        (line(prompt="a", completion="b", target_len=1), "unknown field 'target_len'; allowed: prompt, completion, id"),
        (
            line(text="a", label="b"),
            "no field of a record in ['text', 'label']; a record needs prompt+completion or messages or query+",
        ),
        ("{}", "no field of a record in []"),
        (line(id=1.5, prompt="a", completion="b"), "field 'id' must be a non-empty string or a whole number, got 1.5"),
        (line(id=True, prompt="a", completion="b"), "got True"),
        (line(id="", prompt="a", completion="b"), "got ''"),
        (line(messages="a"), "field 'messages' must be a list of messages, got 'a'"),
        (line(messages=[]), "the last of messages must be the assistant's"),
        (line(messages=[{"role": "assistant", "content": "a"}]), "the roles here are ['assistant']"),
        (line(messages=[{"role": "user", "content": "a"}]), "the roles here are ['user']"),
        (line(messages=[{"role": "user"}]), "message 1 must have a role and a content and nothing else"),
        (
            line(messages=[{"role": "user", "content": ["a"]}, {"role": "assistant", "content": "b"}]),
            "message 1: content",
        ),
    ],
)
def test_a_line_that_cannot_be_learnt_is_refused(refused, content, problem):
    (found,) = refused("a.jsonl", content)
    assert found.startswith("a.jsonl:1: ")
    assert problem in found


def test_not_utf8_names_the_byte_and_its_position_in_the_file(refused):
    first = line(prompt="a", completion="é").encode()
    (problem,) = refused("a.jsonl", first + b'{"prompt": "\xff"}\n')
    assert problem.startswith(f"a.jsonl:2: not UTF-8: byte 0xff at position {len(first) + 12} of the file")


def test_all_problems_of_a_file_are_told_at_once(refused):
    content = "x\n" + line(prompt="a", completion="1") + line(prompt="a", completion="2") + "\n" + line(prompt="")
    found = refused("a.jsonl", content)
    assert [problem.split(": ")[0] for problem in found] == ["a.jsonl:1", "a.jsonl:3", "a.jsonl:5", "a.jsonl:5"]


def test_at_most_twenty_problems_are_shown(read):
    with pytest.raises(RecordsError) as caught:
        read("a.jsonl", "x\n" * 30)
    assert len(caught.value.problems) == 30
    assert str(caught.value).splitlines()[20:] == ["… and 10 more"]


def test_an_id_given_twice_is_refused(refused):
    (problem,) = refused("a.jsonl", line(id=1, prompt="a", completion="b") + line(id="1", prompt="c", completion="d"))
    assert problem.startswith("a.jsonl:2: id '1' is taken by another record, at a.jsonl:1")


def test_the_papers_phonebook_is_read():
    path = Path(__file__).parents[2] / "../shared/data/phonebook/qwen/PB1000.jsonl"
    if not path.exists():
        pytest.skip(f"the paper's data is not at {path}")
    memory = Memory.from_file(path)
    assert len(memory) == 100
    assert (memory.records[0].id, memory.records[0].prompt) == ("298864", "Jerry Becerra:")
    assert memory.records[0].answer == "9100672710"
