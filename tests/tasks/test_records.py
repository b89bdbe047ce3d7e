import pytest

from byheart.errors import RecordsError, SettingsError
from byheart.memory.records import Memory
from byheart.tasks.answer_tokens import num_answer_tokens
from byheart.tasks.records import RecordsConfig, build
from tokenizers_for_tests import chat_tokenizer


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "all.jsonl"
    Memory.from_pairs([(f"Number {number}?", str(1000 + number)) for number in range(20)]).to_jsonl(path)
    return path


def some(source, **values) -> Memory:
    return build(RecordsConfig.parse({"source": str(source), **values}), chat_tokenizer())


def test_all_records_of_a_file(source):
    assert some(source) == Memory.from_file(source)


def test_the_first_records_by_number_and_by_answer_tokens(source):
    first = some(source, num_records=5)
    assert first.records == Memory.from_file(source).records[:5]
    assert some(source, num_answer_tokens=num_answer_tokens(first, chat_tokenizer())) == first


def test_plain_text_is_cut_by_the_tokenizers_own_count(tmp_path):
    path = tmp_path / "notes.md"
    path.write_text("Remember the fox. " * 60)
    memory = some(path)
    assert "".join(record.answer for record in memory) == path.read_text()
    assert max(num_answer_tokens(Memory.from_pairs([record]), chat_tokenizer()) for record in memory) <= 64


def test_what_is_refused(source):
    with pytest.raises(SettingsError, match=r"num_records 21: .* has 20"):
        some(source, num_records=21)
    with pytest.raises(SettingsError, match="both give the size"):
        some(source, num_records=2, num_answer_tokens=2)
    with pytest.raises(RecordsError, match="no such file"):
        some(source.with_name("other.jsonl"))
