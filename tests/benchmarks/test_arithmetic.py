"""The arithmetic of a pass, held against what torch counts of the steps themselves."""

# pyright: reportMissingImports=false

from pathlib import Path

import pytest
import torch
from peers import authors_loop
from peers.arithmetic import Counts, authors_pass, byheart_pass, look_pass, reading_pass
from peers.gpu_sides import sides
from torch.utils.flop_counter import FlopCounterMode

from byheart.learning.activations import compute_activations
from byheart.learning.config import LearnConfig
from byheart.learning.evaluate import record_losses
from byheart.learning.step import Stepper
from byheart.method.weighting import Uniform
from byheart.model.adapter import Adapter
from byheart.model.split import split
from models_for_tests import placed

MATRIX_PRODUCTS = (torch.ops.aten.mm, torch.ops.aten.addmm)
ADAPTERS_OWN = 1.02
"""Products of an adapter of rank 1 are counted by torch and not by the arithmetic."""


def counted(work) -> float:
    with FlopCounterMode(display=False) as counter:
        work()
    by_operation = counter.get_flop_counts()["Global"]
    return sum(by_operation.get(operation, 0) for operation in MATRIX_PRODUCTS)


def nearly(got: float, computed: float) -> bool:
    return computed <= got <= ADAPTERS_OWN * computed


@pytest.fixture
def theirs(small_shape):
    return sides(small_shape, 3, None)["authors"]


def test_a_pass_of_the_authors_loop(small_shape, make_race, theirs, monkeypatch):
    race = make_race(theirs, lora_rank=1)
    monkeypatch.setattr(race, "epoch_ended", lambda model, loss: True)
    got = counted(lambda: authors_loop.run(race))
    tokens = race.encoded.records
    assert len({record.num_tokens for record in tokens}) == 1, "padding is no part of the arithmetic"
    counts = Counts(sum(record.num_tokens for record in tokens), 0, 4, 0, 1)
    assert nearly(got, authors_pass(small_shape, counts))


@pytest.mark.parametrize(("layers", "modules"), [("4", "mlp"), ("top:3", "all-linear")])
def test_a_pass_of_byhearts_steps_and_looks(small_shape, make_race, theirs, tmp_path: Path, layers, modules):
    race = make_race(theirs)
    _, base, encoded = race.load()
    placement = placed(base.model, layers, modules, rank=1)
    parts = split(base.model, placement.layers[0])

    def read():
        return compute_activations(parts, encoded, base.device, memory_budget_bytes=2**30, directory=tmp_path)

    cache = read()
    assert cache.shared_LD is not None
    assert parts.skips_unread
    num_answer_tokens = sum(len(record.answer_ids) for record in encoded.records)
    counts = Counts(sum(record.num_tokens for record in encoded.records), num_answer_tokens, 4, len(cache.shared_LD), 2)
    assert counts.num_run < counts.num_tokens
    stepper = Stepper(
        parts, Adapter.initialised(placement, base.device, 0), cache, Uniform(), LearnConfig(batch_size=2)
    )
    cut, words = placement.layers[0], small_shape.num_words

    got = counted(lambda: [stepper.step(indices, 0.0, {}, 0) for indices in ([0, 1], [2, 3])])
    computed = byheart_pass(small_shape, counts, cut=cut, modules=modules, num_words=words, skips_unread=True)
    assert nearly(got, computed)

    in_one = Counts(counts.num_tokens, num_answer_tokens, 4, counts.num_shared, 1)
    assert counted(lambda: record_losses(parts, cache)) == look_pass(small_shape, in_one, cut=cut, skips_unread=True)
    assert counted(read) == reading_pass(small_shape, in_one, cut)
