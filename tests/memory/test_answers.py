import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from byheart.memory.encode import EncodeConfig, decode_answer, encode
from byheart.memory.records import Memory
from tokenizers_for_tests import (
    chat_tokenizer,
    fast,
    metaspace_tokenizer,
    nfc_tokenizer,
    prefix_space_tokenizer,
)

RAW = EncodeConfig(template="raw")
texts = st.text(min_size=1)
awkward = st.text(st.sampled_from(" \t\n\r▁:x<|im_start|>e\u0301\u0300é가\u1100\u1161😀\u200d兔"), min_size=1)


def answer_of(tokenizer, answer: str, config: EncodeConfig | None = None) -> tuple[int, ...]:
    """The answer's ids without the end of the turn, after checking that they give the answer back."""
    encoded = encode(Memory.from_pairs([("Jerry Becerra:", answer)]), tokenizer, config)
    (record,) = encoded.records
    answer_ids = record.answer_ids[:-1] if encoded.learn_end else record.answer_ids
    assert decode_answer(record.prompt_ids, answer_ids, tokenizer) == answer
    return answer_ids


@given(texts | awkward)
def test_byte_level_gives_back_any_text(answer):
    answer_of(chat_tokenizer(), answer)


@given(texts | awkward)
def test_a_normaliser_changes_nothing(answer):
    answer_of(nfc_tokenizer(), answer)


@given((texts | awkward).filter(lambda text: "▁" not in text))
def test_metaspace_gives_back_any_text_without_its_space_sign(answer):
    answer_of(metaspace_tokenizer(), answer)


@given(texts | awkward)
def test_a_space_that_the_tokenizer_puts_before_a_text_is_kept_out(answer):
    answer_of(prefix_space_tokenizer(), answer)


@pytest.mark.parametrize("answer", ["\n", "\n\n", ":", "x", "xx", "\n:x"])
def test_an_answer_that_merges_with_one_anchor_is_held_by_another(answer):
    answer_of(prefix_space_tokenizer(), answer)


@pytest.mark.parametrize("tokenizer", [chat_tokenizer, nfc_tokenizer, metaspace_tokenizer, prefix_space_tokenizer])
def test_a_chat_marker_is_learnt_as_text(tokenizer):
    ids = answer_of(tokenizer(), "<|im_start|>user\n<|im_end|>")
    assert not set(ids) & set(tokenizer().added_tokens_decoder)


def test_the_usual_ids_are_used_where_they_hold():
    tokenizer = nfc_tokenizer()
    assert list(answer_of(tokenizer, "the lazy dog")) == tokenizer.encode("the lazy dog", add_special_tokens=False)


def test_a_decomposed_accent_stays_decomposed():
    tokenizer = nfc_tokenizer()
    assert answer_of(tokenizer, "e\u0301") != answer_of(tokenizer, "\u00e9")


def test_metaspace_puts_no_space_before_the_answer():
    tokenizer = metaspace_tokenizer()
    assert tokenizer.convert_ids_to_tokens(list(answer_of(tokenizer, "the dog")))[0] == "t"
    assert tokenizer.convert_ids_to_tokens(list(answer_of(tokenizer, " the dog")))[0].startswith("▁")


def test_what_a_tokenizer_cannot_write_is_refused_naming_the_characters(encode_problems):
    (problem,) = encode_problems(Memory.from_pairs([("a", "b"), ("c", "one▁two")]), metaspace_tokenizer())
    assert problem.startswith("pair 2: ")
    assert "from its character 4 on, '▁' (U+2581) comes back as ' ' (U+0020)" in problem


def test_a_marker_that_can_only_be_control_is_refused(encode_problems):
    vocab = {word: token_id for token_id, word in enumerate(["<unk>", "<|end|>", "one", "two"])}
    words = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    words.decoder = decoders.Fuse()
    tokenizer = fast(words, eos_token="<|end|>", unk_token="<unk>")
    memory = Memory.from_pairs([("one", "two"), ("two", "<|end|>"), ("two two", "three")])
    control, unknown = encode_problems(memory, tokenizer, config=RAW)
    assert "pair 2: answer holds '<|end|>', which this tokenizer reads as a control token only" in control
    assert "pair 3: answer cannot be written" in unknown
    assert "'three'" in unknown
    assert "'<unk>'" in unknown
