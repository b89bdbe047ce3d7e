from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from byheart.errors import SettingsError
from byheart.memory.tokenizer import control_ids, undisturbed
from byheart.tasks import random_tokens
from byheart.tasks.answer_tokens import AnswerTokens
from byheart.tasks.random_tokens import random_ids, replaced
from tokenizers_for_tests import chat_tokenizer, metaspace_tokenizer, nfc_tokenizer, prefix_space_tokenizer

TOKENIZERS = st.sampled_from([chat_tokenizer, nfc_tokenizer, metaspace_tokenizer, prefix_space_tokenizer])
SEEDS = st.integers(0, 2**31 - 1)
TEXT = "The quick brown fox jumps over the lazy dog, and the dog sleeps on in the sun. Please remember this number."
CHINESE = "请记住这个号码，一个字也不能错。"


def encoded(text: str, tokenizer) -> list[int]:
    with undisturbed(tokenizer):
        return list(AnswerTokens(tokenizer).closest(text))


def survives(ids: list[int], tokenizer) -> bool:
    """Whether the tokens are what their own text is encoded as, by the encoder that learning uses."""
    with undisturbed(tokenizer):
        answers = AnswerTokens(tokenizer)
        return answers.encode([answers.decode(ids)]) == [tuple(ids)]


@given(TOKENIZERS, st.integers(1, 80), SEEDS)
@settings(max_examples=40)
def test_random_tokens_survive_being_text(tokenizer, num_tokens, seed):
    with undisturbed(tokenizer()):
        ids = random_ids(num_tokens, tokenizer(), seed)
    assert len(ids) == num_tokens
    assert survives(ids, tokenizer())


@given(TOKENIZERS, st.floats(0, 1), SEEDS)
@settings(max_examples=40)
def test_just_the_share_is_replaced_and_all_survives_being_text(tokenizer, ratio, seed):
    ids = encoded(TEXT, tokenizer())
    with undisturbed(tokenizer()):
        result = replaced(ids, ratio, tokenizer(), seed)
    assert sum(new != old for new, old in zip(result, ids, strict=True)) == round(ratio * len(ids))
    assert survives(result, tokenizer())


@given(TOKENIZERS, st.lists(st.floats(0, 1), min_size=2, max_size=4), SEEDS)
@settings(max_examples=20)
def test_what_a_smaller_ratio_replaces_a_larger_one_replaces_too(tokenizer, ratios, seed):
    ids = encoded(TEXT, tokenizer())
    places = []
    for ratio in sorted(ratios):
        with undisturbed(tokenizer()):
            result = replaced(ids, ratio, tokenizer(), seed)
        places.append({place for place, old in enumerate(ids) if result[place] != old})
    assert all(few <= many for few, many in pairwise(places))


@given(TOKENIZERS, st.floats(0.1, 0.9), SEEDS)
@settings(max_examples=20)
def test_a_character_of_several_tokens_is_replaced_whole(tokenizer, ratio, seed):
    ids = encoded(CHINESE, tokenizer())
    assert len(ids) > len(CHINESE)
    with undisturbed(tokenizer()):
        result = replaced(ids, ratio, tokenizer(), seed)
    assert survives(result, tokenizer())
    assert len(result) == len(ids)


def test_no_control_token_is_drawn():
    with undisturbed(chat_tokenizer()):
        drawn = {token_id for seed in range(20) for token_id in random_ids(100, chat_tokenizer(), seed)}
    assert len(drawn) > 150
    assert not drawn & control_ids(chat_tokenizer())


def test_a_seed_decides_what_is_replaced_and_by_what():
    ids = encoded(TEXT, chat_tokenizer())
    with undisturbed(chat_tokenizer()):
        results = [replaced(ids, 0.5, chat_tokenizer(), seed) for seed in (1, 1, 2)]
    assert results[0] == results[1] != results[2]


def test_where_no_text_is_found_it_is_said(monkeypatch):
    """A loop that is not allowed to draw anew cannot mend what the first draw got wrong."""
    monkeypatch.setattr(random_tokens, "_MOST_ROUNDS", 1)
    with undisturbed(chat_tokenizer()), pytest.raises(SettingsError, match="in 1 rounds no text was found"):
        random_ids(200, chat_tokenizer(), 0)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.lists(st.integers(0, 3), max_size=12))
def test_no_difference_is_found_where_there_is_none_and_one_where_there_is(ids, again):
    differences = list(random_tokens._differences(ids, again))
    if ids == again:
        assert not differences
    else:
        assert differences
        assert all(0 <= d.start < d.stop <= len(ids) for d in differences)
