from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byheart.errors import RecordsError, SettingsError
from byheart.memory.records import Memory

texts = st.text(
    alphabet=st.sampled_from('ab,"\n\r;\t \u2028\ufeff') | st.characters(exclude_categories=["Cs"]), min_size=1
)


@pytest.mark.parametrize("name", ["notes.md", "notes.txt", "NOTES.MD"])
def test_text_is_cut_into_numbered_parts_that_join_back(read, tmp_path, name):
    content = "\ufeff# Title\r\n\r\nOne two three. Four five six.\r\n\tSeven.  \n"
    memory = read(name, content, chunk_tokens=6)
    assert "".join(record.answer for record in memory) == content
    assert [record.prompt for record in memory] == [
        f"{name}, part {n} of {len(memory)}" for n in range(1, len(memory) + 1)
    ]
    assert memory.records[0].where == f"{tmp_path}/{name}:1"
    assert memory.records[-1].where == f"{tmp_path}/{name}:4"


@given(content=texts)
def test_text_joins_back_byte_for_byte(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("text") / "a.txt"
    path.write_bytes(content.encode())
    memory = Memory.from_file(path, chunk_tokens=3)
    assert "".join(record.answer for record in memory).encode() == path.read_bytes()


def test_text_is_measured_by_the_counter_that_is_given(read):
    memory = read("a.txt", "one two", chunk_tokens=3, count_tokens=len)
    assert [record.answer for record in memory] == ["one", " tw", "o"]


def test_text_that_is_not_utf8_names_line_and_position(refused):
    assert refused("a.txt", b"one\ntwo \x80")[0].startswith("a.txt:2: not UTF-8: byte 0x80 at position 8")


@pytest.mark.parametrize(
    ("name", "content"), [("a.jsonl", ""), ("a.jsonl", "\n \n"), ("a.csv", ""), ("a.csv", "\n\n"), ("a.txt", "")]
)
def test_a_file_without_records_is_refused(refused, name, content):
    assert refused(name, content) == [f"{name}: there are no records here; a memory needs at least one"]


def test_a_file_over_the_size_limit_is_refused_unread(refused):
    (problem,) = refused("a.jsonl", "x" * 101, max_file_bytes=100)
    assert problem.startswith("a.jsonl: 101 bytes, over max_file_bytes = 100")


def test_a_missing_path_is_refused(tmp_path):
    with pytest.raises(RecordsError, match=r"none\.jsonl: there is no such file"):
        Memory.from_file(tmp_path / "none.jsonl")


def test_an_unknown_suffix_names_the_known_ones(refused):
    assert ".jsonl" in refused("a.doc", "x")[0]


def test_the_format_may_be_named_where_the_suffix_tells_none(read):
    assert len(read("a.data", '{"prompt": "a", "completion": "b"}', format="jsonl")) == 1


def test_a_format_that_the_path_cannot_have_is_refused(refused, tmp_path):
    assert "is not read from a file" in refused("a.jsonl", "x", format="dataset")[0]
    with pytest.raises(RecordsError, match="is not read from a directory"):
        Memory.from_file(tmp_path, format="text")


def test_an_unreadable_file_is_told_with_the_systems_reason(monkeypatch, read):
    def denied(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", denied)
    with pytest.raises(RecordsError, match="cannot be read: Permission denied"):
        read("a.jsonl", "x")


@pytest.mark.parametrize(
    "settings", [{"chunk_token": 5}, {"chunk_tokens": 0}, {"max_file_bytes": -1}, {"format": "xml"}]
)
def test_settings_out_of_range_are_refused(read, settings):
    with pytest.raises(SettingsError):
        read("a.txt", "x", **settings)
