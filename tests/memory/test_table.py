import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byheart.memory.records import Memory

texts = st.text(
    alphabet=st.sampled_from('ab,"\n\r;\t \u2028\ufeff') | st.characters(exclude_categories=["Cs"]), min_size=1
)


@given(st.dictionaries(texts, texts, min_size=1))
def test_csv_gives_back_any_text(tmp_path_factory, answers):
    file = io.StringIO(newline="")
    writer = csv.writer(file, quoting=csv.QUOTE_ALL)
    writer.writerows([("prompt", "completion"), *answers.items()])
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    path.write_bytes(file.getvalue().encode())
    assert {record.prompt: record.answer for record in Memory.from_file(path)} == answers


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_csv_with_newlines_and_quotes_in_fields(read, tmp_path, newline, mark):
    rows = ["id,query,target", '7,"a,b"," x\ny "', "", ',q,"say ""e"""']
    memory = read("a.csv", mark + newline.join(rows))
    assert [(record.prompt, record.answer) for record in memory] == [("a,b", " x\ny "), ("q", 'say "e"')]
    assert memory.records[0].id == "7"
    assert [record.where for record in memory] == [f"{tmp_path}/a.csv:2", f"{tmp_path}/a.csv:5"]


def test_a_csv_field_may_be_longer_than_the_standard_librarys_limit(read):
    limit = csv.field_size_limit()
    assert len(read("a.csv", "prompt,completion\na," + "x" * (limit + 1)).records[0].answer) == limit + 1
    assert csv.field_size_limit() == limit


@pytest.mark.parametrize(
    ("content", "problems"),
    [
        ("prompt,completion\na\nb,c,d\n", ["a.csv:2: 1 fields in the row ['a'] but 2", "a.csv:3: 3 fields in the row"]),
        ("prompt,completion\na,\n,b\n", ["a.csv:2: field 'completion' is empty", "a.csv:3: field 'prompt' is empty"]),
        ('prompt,completion\na,b\nc,"d\n', ["a.csv:3: not CSV: unexpected end of data"]),
        ('prompt,completion\na,"b"c\n', ["a.csv:2: not CSV"]),
        ("promt,completion\na,b\nc,d\n", ["a.csv:1: unknown field 'promt' (did you mean 'prompt'?)"]),
        ("prompt,completion,prompt\n", ["a.csv:1: column 'prompt' is given twice"]),
        ("messages\n[]\n", ["a.csv:1: no field of a record in ['messages']"]),
        (b"prompt,completion\na,\xe9\n", ["a.csv:2: not UTF-8: byte 0xe9 at position 20"]),
        ("prompt,completion\n", ["a.csv: there are no records"]),
    ],
)
def test_csv_that_cannot_be_learnt_is_refused(refused, content, problems):
    found = refused("a.csv", content)
    assert len(found) == len(problems)
    assert all(problem.startswith(start) for problem, start in zip(found, problems, strict=True))
