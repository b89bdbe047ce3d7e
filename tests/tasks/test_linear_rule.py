import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from byheart.errors import SettingsError
from byheart.memory.records import Memory
from byheart.tasks.linear_rule import NUM_VALUES, LinearRuleConfig, build, build_unseen
from tokenizers_for_tests import chat_tokenizer


def both(**values: int) -> tuple[Memory, Memory]:
    config = LinearRuleConfig.parse(values)
    return build(config, chat_tokenizer()), build_unseen(config, chat_tokenizer())


def test_every_answer_is_the_rules():
    for memory in both():
        for record in memory:
            match = re.fullmatch(r"f\((\d+), (\d+)\) =", str(record.prompt))
            assert match is not None
            x, y = map(int, match.groups())
            assert max(x, y) < NUM_VALUES
            assert record.answer == str(3 * x + 5 * y + 7)


def test_five_hundred_are_learnt_and_five_hundred_others_asked_for():
    assert [len(memory) for memory in both()] == [500, 500]


@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 2**31 - 1))
@example(num_pairs=9000, num_unseen=1000, seed=42)  # all the points there are
@settings(max_examples=10)
def test_no_unseen_pair_is_learnt_and_each_comes_once(num_pairs, num_unseen, seed):
    learnt, unseen = both(num_pairs=num_pairs, num_unseen=num_unseen, seed=seed)
    prompts = [record.prompt for memory in (learnt, unseen) for record in memory]
    assert len(set(prompts)) == len(prompts) == num_pairs + num_unseen


def test_fewer_are_the_first_of_more_and_the_unseen_stay():
    few, unseen = both(num_pairs=20)
    many, still_unseen = both(num_pairs=600)
    assert many.records[:20] == few.records
    assert unseen == still_unseen


def test_a_seed_decides_which_are_learnt():
    assert both(seed=1) != both(seed=2)


def test_more_than_there_are_is_refused():
    with pytest.raises(SettingsError, match="more together than the 10,000 points"):
        both(num_pairs=9501)
