from dataclasses import replace

import pytest
import torch
from transformers import GenerationConfig

from byheart.certification.recite import free_run, greedy
from byheart.memory.encode import encode
from byheart.memory.records import Memory
from byheart.model.adapter import attached
from models_for_tests import FAMILIES, awake, placed, small, talking
from oracles import whole_model


def expected_runs(base, adapter, memory):
    oracle = whole_model.with_lora(base.model, adapter)
    stop_id = memory.stop_id if memory.learn_end else None
    return [whole_model.greedy(oracle, record.prompt_ids, len(record.answer_ids), stop_id) for record in memory.records]


@pytest.mark.parametrize("max_batch_tokens", [1, 150, 10**6])
def test_a_taught_memory_comes_back_at_any_batch_size(tiny_base, taught, encoded, max_batch_tokens):
    with attached(tiny_base.model, taught):
        runs = free_run(tiny_base, encoded, max_batch_tokens)
    assert runs == [list(record.answer_ids) for record in encoded.records]


@pytest.mark.parametrize("adapter_name", ["taught", "untaught"])
def test_a_batched_run_is_the_uncached_one_one_by_one(tiny_base, encoded, adapter_name, request):
    adapter = request.getfixturevalue(adapter_name)
    with attached(tiny_base.model, adapter):
        runs = free_run(tiny_base, encoded, 10**6)
    assert runs == expected_runs(tiny_base, adapter, encoded)


@pytest.mark.parametrize("family", FAMILIES)
def test_left_padding_does_not_matter_in_any_family(family):
    base = talking(lambda **changed: small(family, **changed))
    pairs = [("A", "x" * 9), ("Which number is on the door?", "4711"), ("Where is the key of the house?", "there")]
    memory = encode(Memory.from_pairs(pairs), base.tokenizer)
    adapter = awake(placed(base.model))
    with attached(base.model, adapter):
        runs = free_run(base, memory, 10**6)
    assert runs == expected_runs(base, adapter, memory)


def test_a_run_has_as_many_tokens_as_the_answer_at_most(tiny_base, untaught, encoded):
    with attached(tiny_base.model, untaught):
        runs = free_run(tiny_base, encoded, 10**6)
    assert all(len(run) <= len(record.answer_ids) for run, record in zip(runs, encoded.records, strict=True))


def test_the_models_own_repetition_penalty_has_no_effect(tiny_base, taught, encoded, monkeypatch):
    monkeypatch.setattr(tiny_base.model, "generation_config", GenerationConfig(repetition_penalty=9.0))
    with attached(tiny_base.model, taught):
        assert free_run(tiny_base, encoded, 10**6) == [list(record.answer_ids) for record in encoded.records]


def test_the_stop_token_ends_a_continuation_and_is_in_it(tiny_base, taught, encoded):
    prompts = [record.prompt_ids for record in encoded.records]
    with attached(tiny_base.model, taught):
        runs = greedy(tiny_base, prompts, 40, encoded.stop_id, encoded.pad_id)
    assert runs == [list(record.answer_ids) for record in encoded.records]
    assert all(run[-1] == encoded.stop_id for run in runs)


def test_without_a_learnt_end_no_token_ends_a_run(tiny_base, taught, encoded):
    # Each answer goes on with a token that only comes after the end of the turn.
    longer = tuple(replace(each, answer_ids=(*each.answer_ids, 7, 7)) for each in encoded.records)
    endless = replace(encoded, learn_end=False, records=longer)
    with attached(tiny_base.model, taught):
        runs = free_run(tiny_base, endless, 10**6)
        ended = free_run(tiny_base, replace(endless, learn_end=True), 10**6)
    assert [len(run) for run in runs] == [len(record.answer_ids) for record in longer]
    assert [len(run) for run in ended] == [len(record.answer_ids) for record in encoded.records]


def test_every_record_is_told_once(tiny_base, untaught, encoded):
    told = []
    with attached(tiny_base.model, untaught):
        free_run(tiny_base, encoded, 150, told.append)
    assert sum(told) == len(encoded)


def test_the_free_run_takes_no_gradient(tiny_base, taught, encoded, monkeypatch):
    seen = []
    generate = type(tiny_base.model).generate

    def looking(self, *arguments, **named):
        seen.append(torch.is_grad_enabled())
        return generate(self, *arguments, **named)

    monkeypatch.setattr(type(tiny_base.model), "generate", looking)
    greedy(tiny_base, [encoded.records[0].prompt_ids], 2, None, 0)
    assert seen == [False]
