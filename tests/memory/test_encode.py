import copy

import pytest
from tokenizers import normalizers

from byheart.errors import SettingsError
from byheart.memory.encode import EncodeConfig, encode, encode_prompt
from byheart.memory.records import Memory, Record
from byheart.memory.tokenizer import tokenizer_fingerprint
from tokenizers_for_tests import (
    CHAT_TEMPLATE,
    byte_level_bpe,
    chat_tokenizer,
    fast,
    metaspace_tokenizer,
)

RAW = EncodeConfig(template="raw")


def test_a_record_longer_than_the_context_names_both_numbers(encode_problems):
    memory, tokenizer = Memory.from_pairs([("a", "1"), ("b", "2" * 40)]), chat_tokenizer()
    lengths = [record.num_tokens for record in encode(memory, tokenizer).records]
    assert len(encode(memory, tokenizer, max_tokens=max(lengths))) == 2
    (problem,) = encode_problems(memory, tokenizer, max_tokens=max(lengths) - 1)
    assert problem.startswith(f"pair 2: {lengths[1] - 41} tokens of prompt and 41 of answer are more than")
    assert f"context of {max(lengths) - 1}" in problem


def test_all_problems_are_told_at_once_in_order(encode_problems):
    memory = Memory.from_pairs([("a", "▁"), ("b", "x"), ("c", "y" * 99), ("d", "▁▁")])
    found = encode_problems(memory, metaspace_tokenizer(), max_tokens=90)
    assert [problem.split(":")[0] for problem in found] == ["pair 1", "pair 3", "pair 4"]


def test_the_tokenizer_is_left_as_it_was():
    tokenizer = fast(byte_level_bpe(normalizers.NFC()), eos_token="<|endoftext|>")
    backend = tokenizer.backend_tokenizer
    backend.enable_truncation(4, direction="left")
    backend.enable_padding(length=6, pad_id=2)
    before = backend.to_str(), backend.encode_special_tokens
    encode(Memory.from_pairs([("a" * 50, "e\u0301<|im_end|>" * 5)]), tokenizer)
    encode_prompt("a", tokenizer, EncodeConfig())
    assert (backend.to_str(), backend.encode_special_tokens) == before


def test_the_tokenizer_is_left_as_it_was_when_records_are_refused(encode_problems):
    tokenizer = copy.deepcopy(metaspace_tokenizer())
    encode_problems(Memory.from_pairs([("a", "▁")]), tokenizer)
    assert tokenizer.backend_tokenizer.encode_special_tokens is False


def test_fingerprints_see_what_they_are_about():
    tokenizer = chat_tokenizer()

    def encoded(prompt="a", answer="b", **settings: object):
        return encode(Memory.from_pairs([Record("1", prompt, answer)]), tokenizer, EncodeConfig.parse(settings))

    one, again = encoded(), encoded()
    assert (one.fingerprint, one.prompt_fingerprint) == (again.fingerprint, again.prompt_fingerprint)
    assert encoded(prompt="c").prompt_fingerprint != one.prompt_fingerprint
    other_answer = encoded(answer="c")
    assert other_answer.prompt_fingerprint == one.prompt_fingerprint
    assert other_answer.fingerprint != one.fingerprint
    assert encoded(learn_end=False).fingerprint != one.fingerprint
    assert encoded(learn_end=False).template_fingerprint == one.template_fingerprint
    assert encoded(template="raw").template_fingerprint != one.template_fingerprint
    assert encoded(system_prompt="s").template_fingerprint != one.template_fingerprint
    assert encoded(template_kwargs={}).template_fingerprint != one.template_fingerprint


def test_the_tokenizers_fingerprint_ignores_padding_but_not_the_vocabulary():
    tokenizer = fast(byte_level_bpe())
    before = tokenizer_fingerprint(tokenizer)
    tokenizer.backend_tokenizer.enable_truncation(4)
    assert tokenizer_fingerprint(tokenizer) == before
    assert tokenizer_fingerprint(fast(byte_level_bpe(vocab_size=380))) != before
    assert tokenizer_fingerprint(fast(byte_level_bpe(normalizers.NFC()))) != before


def test_the_template_is_part_of_the_fingerprint():
    memory = Memory.from_pairs([("a", "b")])
    one = encode(memory, chat_tokenizer())
    other = encode(memory, fast(byte_level_bpe(), CHAT_TEMPLATE + " ", eos_token="<|endoftext|>"))
    assert one.template_fingerprint != other.template_fingerprint


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"template": "raw", "system_prompt": "s"}, "system_prompt has no place"),
        ({"template_kwargs": {"tokenize": False}}, "template_kwargs cannot set tokenize"),
        ({"systemprompt": "s"}, "did you mean 'system_prompt'"),
        ({"template": "chatml"}, "template: "),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, what):
    with pytest.raises(SettingsError, match=what):
        EncodeConfig.parse(settings)
