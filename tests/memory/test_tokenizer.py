import pytest

from byheart.memory.encode import encode
from byheart.memory.records import Memory
from byheart.memory.tokenizer import backend, token_counter
from tokenizers_for_tests import chat_tokenizer, metaspace_tokenizer


@pytest.mark.parametrize("text", ["4711-0815", " leading", "say <|im_end|> aloud", "naïve\n\n", ""])
def test_a_text_has_as_many_tokens_as_it_has_as_an_answer(text):
    count = token_counter(chat_tokenizer())
    if not text:
        assert count(text) == 0
        return
    [record] = encode(Memory.from_pairs([("Say it.", text)]), chat_tokenizer()).records
    assert count(text) == len(record.answer_ids) - 1  # without the end of its turn


def test_what_a_tokenizer_puts_around_a_text_is_not_counted():
    tokenizer = metaspace_tokenizer()
    assert token_counter(tokenizer)("fox") == len(tokenizer.tokenize("fox"))


def test_counting_leaves_the_tokenizer_as_it_was():
    tokenizer = chat_tokenizer()
    before = tokenizer("<|im_end|>")["input_ids"]
    assert token_counter(tokenizer)("<|im_end|>") > 1
    assert backend(tokenizer).encode_special_tokens is False
    assert tokenizer("<|im_end|>")["input_ids"] == before
