import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byheart.errors import ArtifactError, Problem, RecordsError
from byheart.memory.records import Memory, Message, Record, validated

texts = st.text(min_size=1)
conversations = st.lists(
    st.builds(Message, st.sampled_from(["system", "user", "assistant", "tool"]), texts), min_size=1
)
prompts = texts | conversations.map(tuple)


def problems_of(pairs) -> list[str]:
    with pytest.raises(RecordsError) as caught:
        Memory.from_pairs(pairs)
    return [str(problem) for problem in caught.value.problems]


@given(st.dictionaries(prompts, texts, min_size=1))
def test_jsonl_gives_back_any_memory_exactly(tmp_path_factory, answers):
    path = tmp_path_factory.mktemp("memory") / "memory.jsonl"
    unique = {Memory.from_pairs([(prompt, "x")]).records[0].prompt: answer for prompt, answer in answers.items()}
    memory = Memory.from_pairs(unique.items())

    memory.to_jsonl(path)

    assert Memory.from_file(path) == memory
    assert Memory.from_file(path).fingerprint == memory.fingerprint


def test_jsonl_keeps_ids(tmp_path):
    memory = Memory.from_pairs([Record("mine", "a", "b"), Record("298864", "c", "d")])
    memory.to_jsonl(tmp_path / "memory.jsonl")
    assert [record.id for record in Memory.from_file(tmp_path / "memory.jsonl")] == ["mine", "298864"]


def test_a_memory_that_cannot_be_written_leaves_nothing_behind(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ArtifactError):
        Memory.from_pairs([("a", "b")]).to_jsonl(tmp_path / "file" / "memory.jsonl")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    "pair",
    [
        ("a", " b\n"),
        ["a", " b\n"],
        {"prompt": "a", "completion": " b\n"},
        {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": " b\n"}]},
        ([Message("user", "a")], " b\n"),
        ([{"role": "user", "content": "a"}], " b\n"),
        Record("", (Message("user", "a"),), " b\n"),
    ],
)
def test_every_spelling_of_a_pair_is_the_same_record(pair):
    assert Memory.from_pairs([pair]) == Memory.from_pairs([("a", " b\n")])


def test_exact_duplicates_are_merged_and_counted():
    memory = Memory.from_pairs([("a", "1"), ("b", "2"), ("a", "1"), ("a", "1")])
    assert [record.prompt for record in memory] == ["a", "b"]
    assert memory.num_merged == 2


def test_a_prompt_with_two_answers_names_both_places_and_both_answers():
    (problem,) = problems_of([("a", "1"), ("b", "1"), ("a", "2")])
    assert problem.startswith("pair 3: ")
    for part in ("'a'", "'1'", "'2'", "pair 1"):
        assert part in problem


def test_one_user_turn_is_the_same_prompt_as_its_text():
    (problem,) = problems_of([("a", "1"), ([Message("user", "a")], "2")])
    assert "pair 1" in problem


def test_two_records_with_one_id_are_refused():
    (problem,) = problems_of([Record("7", "a", "1", "x.jsonl:1"), Record("7", "b", "2", "x.jsonl:2")])
    assert problem.startswith("x.jsonl:2: id '7' is taken by another record, at x.jsonl:1")


def test_an_id_taken_from_the_prompt_does_not_depend_on_the_other_records():
    first = Memory.from_pairs([("a", "1"), ("b", "2")]).records[1].id
    second = Memory.from_pairs([("c", "0"), ("b", "2"), ("a", "1")]).records[1].id
    assert first == second


@pytest.mark.parametrize(
    ("pair", "what"),
    [
        (("", "b"), "prompt is empty"),
        (("a", ""), "answer is empty"),
        (("a", 42), "answer must be text, got 42"),
        ((None, "b"), "prompt must be text, got None"),
        (("ab\udc80", "b"), "U+DC80, as its character 3"),
        (("a", "\ud83d"), "U+D83D, as its character 1"),
        (Record("\ud800", "a", "b"), "id '\\ud800' holds"),
        (([Message("user", "\ud800")], "b"), "message 1: content"),
        (([Message("bot", "a")], "b"), "unknown role 'bot'"),
        (([Message("user", "")], "b"), "prompt is empty"),
        (([], "b"), "prompt is empty"),
        ((["a"], "b"), "message 1 must have a role and a content"),
        (Record("", ("a", "b"), "c"), "tuple of Message"),  # pyright: ignore[reportArgumentType]
        ("ab", "a (prompt, answer) pair"),
        (("a", "b", "c"), "a (prompt, answer) pair"),
        ({"promt": "a", "completion": "b"}, "did you mean 'prompt'"),
    ],
)
def test_what_cannot_be_learnt_is_refused(pair, what):
    (problem,) = problems_of([("fine", "pair"), pair])
    assert problem.startswith("pair 2: ")
    assert what in problem


def test_all_problems_are_told_at_once_in_order():
    assert [text.split(":")[0] for text in problems_of([("", ""), ("a", "1"), ("a", "2"), 3])] == [
        "pair 1",
        "pair 1",
        "pair 3",
        "pair 4",
    ]


def test_problems_met_while_reading_stand_among_the_others():
    items = [Record("", "", "b", "f:1"), Problem("f:2", "not JSON"), Record("", "a", "", "f:3")]
    with pytest.raises(RecordsError) as caught:
        validated(items, "f")
    assert [problem.where for problem in caught.value.problems] == ["f:1", "f:2", "f:3"]


def test_long_values_are_shortened_in_messages():
    (problem,) = problems_of([("a", "1" * 10_000), ("a", "2" * 10_000)])
    assert len(problem) < 400


def test_no_records_is_an_error_naming_the_source():
    with pytest.raises(RecordsError, match=r"^x\.jsonl: there are no records"):
        validated([], "x.jsonl")


def test_the_fingerprint_sees_ids_prompts_answers_and_order_but_not_places():
    def fingerprint(*records):
        return Memory.from_pairs(records).fingerprint

    one, two = Record("1", "a", "b", "here"), Record("2", "c", "d", "here")
    different = {
        fingerprint(one, two),
        fingerprint(two, one),
        fingerprint(one),
        fingerprint(Record("3", "a", "b")),
        fingerprint(Record("1", "a ", "b")),
        fingerprint(Record("1", "a", "b ")),
        fingerprint(Record("1", (Message("system", "a"),), "b")),
    }
    assert len(different) == 7
    assert fingerprint(Record("1", "a", "b", "there")) == fingerprint(one)


def test_importing_memory_imports_nothing_heavy():
    heavy = ("torch", "numpy", "transformers", "datasets", "tokenizers")
    code = f"import sys, byheart.memory.records, byheart.memory.encode; print([m for m in {heavy} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
