import itertools

import pytest
from tokenizers import decoders, normalizers

from byheart.errors import RecordsError, SettingsError
from byheart.memory.encode import EncodeConfig, encode
from byheart.memory.records import Memory, Message, Record
from byheart.tasks.answer_tokens import first_within, num_answer_tokens
from tokenizers_for_tests import (
    byte_level_bpe,
    chat_tokenizer,
    fast,
    metaspace_tokenizer,
    nfc_tokenizer,
    prefix_space_tokenizer,
)

TOKENIZERS = [chat_tokenizer, nfc_tokenizer, metaspace_tokenizer, prefix_space_tokenizer]
MEMORY = Memory.from_pairs([("Who?", "Jerry Becerra"), ("Number?", "9100672710"), ("Say it.", " Café, naïve \n")])


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_answer_tokens_are_counted_as_they_will_be_learnt(tokenizer):
    learnt = encode(MEMORY, tokenizer(), EncodeConfig(learn_end=False))
    assert num_answer_tokens(MEMORY, tokenizer()) == learnt.num_answer_tokens


def test_a_conversation_counts_by_its_answer():
    talk = Memory.from_pairs([((Message("system", "Be brief."), Message("user", "Who?")), "Jerry Becerra")])
    assert num_answer_tokens(talk, chat_tokenizer()) == num_answer_tokens(
        Memory.from_pairs([("?", "Jerry Becerra")]), chat_tokenizer()
    )


def test_counting_leaves_the_tokenizer_as_it_was():
    tokenizer = chat_tokenizer()
    before = tokenizer.backend_tokenizer.encode_special_tokens
    num_answer_tokens(MEMORY, tokenizer)
    assert tokenizer.backend_tokenizer.encode_special_tokens == before


def test_the_first_records_that_fit_are_taken_and_none_of_the_next():
    sizes = [num_answer_tokens(Memory.from_pairs([record]), chat_tokenizer()) for record in MEMORY]
    two = sizes[0] + sizes[1]
    for limit, num_taken in ((sizes[0], 1), (two - 1, 1), (two, 2), (two + sizes[2] - 1, 2), (two + sizes[2], 3)):
        assert first_within(MEMORY, limit, chat_tokenizer(), "task x") == list(MEMORY)[:num_taken]


def test_an_endless_source_is_drawn_upon_no_further_than_a_block():
    drawn = itertools.count()
    endless = (Record("", f"{number}?", str(number)) for number in drawn)
    assert first_within(endless, 5, chat_tokenizer(), "task x")
    assert next(drawn) <= 512


def test_too_little_and_too_much_name_what_there_is():
    total = num_answer_tokens(MEMORY, chat_tokenizer())
    with pytest.raises(SettingsError, match=rf"task x: .*all 3 records together have {total} answer tokens"):
        first_within(MEMORY, total + 1, chat_tokenizer(), "task x")
    with pytest.raises(SettingsError, match="the first record alone has"):
        first_within(MEMORY, 1, chat_tokenizer(), "task x")


def test_an_answer_that_the_tokenizer_cannot_give_back_is_named():
    lowercasing = fast(byte_level_bpe(normalizers.Lowercase(), vocab_size=260))
    lowercasing.backend_tokenizer.decoder = decoders.Fuse()  # no longer bytes, which have a way around a normaliser
    with pytest.raises(RecordsError, match=r"pair 1: answer cannot be written"):
        num_answer_tokens(MEMORY, lowercasing)
