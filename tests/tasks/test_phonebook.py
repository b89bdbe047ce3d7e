import re
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from byheart.errors import SettingsError
from byheart.memory.records import Memory
from byheart.tasks import phonebook
from byheart.tasks.answer_tokens import num_answer_tokens
from byheart.tasks.names import FIRST_NAMES, SURNAMES
from byheart.tasks.phonebook import PhonebookConfig, build, contacts
from tokenizers_for_tests import chat_tokenizer, metaspace_tokenizer

SEEDS = st.integers(0, 2**31 - 1)


def book(**values: object) -> Memory:
    return build(PhonebookConfig.parse(values), chat_tokenizer())


def test_there_are_names_for_the_largest_of_the_papers_books():
    assert len(set(FIRST_NAMES)) == len(FIRST_NAMES)
    assert len(set(SURNAMES)) == len(SURNAMES)
    assert len(FIRST_NAMES) * len(SURNAMES) > 8000
    assert all(re.fullmatch(r"[A-Z][a-z]+", name) for name in (*FIRST_NAMES, *SURNAMES))


@given(SEEDS)
@settings(max_examples=10)
def test_no_name_and_no_number_comes_twice(seed):
    people = list(islice(contacts(seed), 8000))
    assert len({person.prompt for person in people}) == len({person.answer for person in people}) == 8000


def test_a_number_that_is_taken_is_drawn_again(monkeypatch):
    monkeypatch.setattr(phonebook, "_NUM_NUMBERS", 30)
    assert len({person.answer for person in islice(contacts(0), 30)}) == 30


def test_a_record_is_a_name_with_a_colon_and_ten_digits():
    for record in book(num_pairs=50):
        assert re.fullmatch(r"[A-Z][a-z]+ [A-Z][a-z]+:", str(record.prompt))
        assert re.fullmatch(r"[1-9][0-9]{9}", record.answer)


@given(SEEDS, st.integers(20, 200), st.integers(0, 200))
@settings(max_examples=10)
def test_a_smaller_book_is_the_beginning_of_a_larger_one(seed, num_tokens, num_more):
    small = book(num_answer_tokens=num_tokens, seed=seed).records
    large = book(num_answer_tokens=num_tokens + num_more, seed=seed).records
    assert large[: len(small)] == small


@pytest.mark.parametrize("tokenizer", [chat_tokenizer, metaspace_tokenizer])
def test_as_many_whole_numbers_as_fit_into_the_answer_tokens(tokenizer):
    config = PhonebookConfig(num_answer_tokens=200)
    memory = build(config, tokenizer())
    one_more = build(PhonebookConfig(num_pairs=len(memory) + 1), tokenizer())
    assert num_answer_tokens(memory, tokenizer()) <= 200 < num_answer_tokens(one_more, tokenizer())


def test_the_size_is_the_papers_smallest_where_none_is_given():
    assert book() == book(num_answer_tokens=1000)


def test_another_seed_gives_other_names_and_other_numbers():
    one, other = book(num_pairs=20, seed=1), book(num_pairs=20, seed=2)
    assert not {record.prompt for record in one} & {record.prompt for record in other}
    assert not {record.answer for record in one} & {record.answer for record in other}


def test_the_papers_own_file_is_read_and_its_first_records_taken(tmp_path):
    path = tmp_path / "PB1000.jsonl"
    path.write_text(
        '{"id": 298864, "query": "Jerry Becerra:", "target": "9100672710", "target_len": 10}\n'
        '{"id": 215192, "query": "Francisco Laramee:", "target": "6780438158", "target_len": 10}\n'
    )
    memory = book(source=str(path), num_pairs=1)
    assert [(record.prompt, record.answer) for record in memory] == [("Jerry Becerra:", "9100672710")]
    with pytest.raises(SettingsError, match="num_pairs 3: there are 2"):
        book(source=str(path), num_pairs=3)


def test_two_sizes_are_one_too_many():
    with pytest.raises(SettingsError, match="both give the size"):
        book(num_answer_tokens=100, num_pairs=10)
