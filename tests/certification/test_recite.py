import random
from dataclasses import replace

import pytest
import torch
from transformers import GenerationConfig, OPTConfig, OPTForCausalLM

from byheart.certification import recite
from byheart.certification.recite import free_run, greedy
from byheart.memory.buckets import by_parts
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


def test_without_a_learnt_end_no_more_is_generated_than_the_longest_answer_of_a_batch(
    tiny_base, taught, encoded, monkeypatch
):
    answers = [record.answer_ids[:-1] for record in encoded.records]
    records = tuple(replace(each, answer_ids=ids) for each, ids in zip(encoded.records, answers, strict=True))
    endless = replace(encoded, learn_end=False, records=records)
    asked: list[tuple[int, int]] = []
    generate = recite.generate_greedily

    def counting(model, tokens_BT, *arguments, **named):
        asked.append((len(tokens_BT), named["max_new_tokens"]))
        return generate(model, tokens_BT, *arguments, **named)

    monkeypatch.setattr(recite, "generate_greedily", counting)
    with attached(tiny_base.model, taught):
        together, apart = free_run(tiny_base, endless, 10**6), free_run(tiny_base, endless, 1)
    # Neighbours of a longer answer run on beside it, and are judged by their own length.
    assert together == apart == [list(ids) for ids in answers]
    lengths = [len(ids) for ids in answers]
    assert asked[0] == (len(encoded), max(lengths))
    assert sorted(asked[1:]) == sorted((1, length) for length in lengths)


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


def opt(**changed):
    """Learnt positions: one token beyond the context is an index beyond the table."""
    sizes = {"vocab_size": 97, "hidden_size": 32, "ffn_dim": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    torch.manual_seed(0)
    given = {**sizes, **changed}
    return OPTForCausalLM(OPTConfig(**given, word_embed_proj_dim=given["hidden_size"])).eval()


def test_a_long_prompt_beside_a_long_answer_stays_within_the_context():
    base = talking(opt, max_position_embeddings=110)
    memory = encode(Memory.from_pairs([("A" * 60, "x"), ("B", "y" * 60)]), base.tokenizer)
    lengths = [(len(record.prompt_ids), len(record.answer_ids)) for record in memory.records]
    assert base.max_tokens is not None
    assert max(map(sum, lengths)) <= base.max_tokens < sum(map(max, zip(*lengths, strict=True)))
    adapter = awake(placed(base.model, modules="fc1"))
    with attached(base.model, adapter):
        runs = free_run(base, memory, 10**6)
    assert runs == expected_runs(base, adapter, memory)


@pytest.mark.parametrize("seed", range(20))
def test_batches_of_two_parts_hold_every_index_once_and_both_bounds(seed):
    rng = random.Random(seed)
    lengths = [(rng.randint(1, 30), rng.randint(1, 30)) for _ in range(40)]
    batches = list(by_parts(lengths, max_batch_tokens=150, max_tokens=50))
    assert sorted(index for batch in batches for index in batch) == list(range(40))
    for batch in batches:
        width = max(lengths[i][0] for i in batch) + max(lengths[i][1] for i in batch)
        assert len(batch) == 1 or (width <= 50 and len(batch) * width <= 150)
