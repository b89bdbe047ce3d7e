import math
from importlib.metadata import version

import numpy as np
import pytest
from safetensors.numpy import load

from byheart.certification.recite import free_run
from byheart.export.bundle import Bundle
from byheart.memory.encode import encode
from byheart.memory.records import Memory
from byheart.model.adapter import attached
from byheart.pipeline import learn
from byheart.sweep.measure import Costs, begin_peak, free_rights, measured, peak_memory
from byheart.sweep.run import Epochs
from conftest import PAIRS

HALF_LEARNT = {
    "placement": {"layers": "1", "lora_rank": 2},
    "method": {"name": "sft", "margin": 0},
    "learn": {"epochs": 40, "batch_size": 4, "learning_rate": 0.01},
}


@pytest.fixture(scope="module")
def learnt(tiny_base) -> tuple[Bundle, Epochs]:
    """Some records come back, some do not."""
    epochs = Epochs()
    bundle = learn(Memory.from_pairs(PAIRS), tiny_base, config=HALF_LEARNT, reporter=epochs)
    assert 0 < bundle.certificate.num("failed") < 4
    return bundle, epochs


@pytest.fixture(scope="module")
def outcome(learnt):
    bundle, epochs = learnt
    return measured(bundle, epochs.events, Costs(2.5, 1000))


def test_the_numbers_are_the_certificates(learnt, outcome):
    certificate, manifest = learnt[0].certificate, learnt[0].manifest
    numbers, _ = outcome
    assert numbers.nll_before_nats == manifest.nll_before_nats
    assert numbers.nll_after_nats == certificate.nll_nats
    assert numbers.nll_drop_nats == pytest.approx(manifest.nll_before_nats - certificate.nll_nats)
    assert (numbers.token_accuracy, numbers.exact_match) == (certificate.token_accuracy, certificate.exact_match)
    assert (numbers.num_certified, numbers.num_recited) == (certificate.num("certified"), certificate.num("recited"))
    assert (numbers.lora_rank, numbers.epochs, numbers.stop_reason) == (2, 40, "budget")
    assert numbers.last_epoch_nll_nats == learnt[1].events[-1].nll_nats
    assert (numbers.seconds, numbers.peak_memory_bytes) == (2.5, 1000)


def test_the_free_run_is_what_a_run_from_the_prompts_gives(learnt, tiny_base):
    """The slow way: all records recited from their prompts, place by place beside their answers."""
    bundle, _ = learnt
    encoded = encode(bundle.memory, tiny_base.tokenizer)
    with attached(tiny_base.model, bundle.adapter):
        runs = free_run(tiny_base, encoded, 4096)
    for record, run_ids, right in zip(encoded.records, runs, free_rights(bundle.certificate), strict=True):
        padded = [*run_ids, *[None] * len(record.answer_ids)]
        assert right.tolist() == [a == b for a, b in zip(record.answer_ids, padded, strict=False)]


def test_where_the_run_ended_early_every_place_left_is_wrong(learnt):
    (failed, *_) = learnt[0].certificate.failures()
    ended = failed.model_copy(update={"first_failure": failed.first_failure.model_copy(update={"run_ids": ()})})
    (right,) = free_rights(learnt[0].certificate.model_copy(update={"records": (ended,)}))
    assert right.tolist() == [at < failed.first_failure.position for at in range(len(failed.p))]


def test_the_file_holds_every_token_and_every_record(learnt, outcome):
    numbers, file = outcome
    tokens, certificate = load(file), learnt[0].certificate
    assert tokens["num_tokens"].tolist() == [len(record.p) for record in certificate.records]
    assert tokens["nll_nats"].dtype == np.float32
    p = [value for record in certificate.records for value in record.p]
    assert np.array_equal(tokens["p"], np.array(p, np.float32)), "p is the certificate's, bit by bit"
    assert np.exp(-tokens["nll_nats"]) == pytest.approx(p, rel=1e-5)
    assert tokens["token_rank"].tolist() == [rank for record in certificate.records for rank in record.token_rank]
    assert tokens["is_free_right"].mean() == pytest.approx(numbers.free_token_accuracy)
    assert numbers.share_above_threshold == pytest.approx(np.mean(np.array(p) > 0.5))


def test_the_file_holds_every_epoch(learnt, outcome):
    tokens, events = load(outcome[1]), learnt[1].events
    assert len(events) == 40
    assert np.array_equal(tokens["epoch_nll_nats"], np.array([each.nll_nats for each in events], np.float32))
    assert tokens["epoch_stubborn_tokens"].tolist() == [each.num_stubborn_tokens for each in events]
    assert outcome[0].epochs * 8 == tokens["epoch_nll_nats"].nbytes + tokens["epoch_stubborn_tokens"].nbytes


def test_the_versions_are_those_it_was_measured_under(outcome):
    numbers, _ = outcome
    assert (numbers.torch_version, numbers.transformers_version) == (version("torch"), version("transformers"))


def test_positions_are_the_smallest_of_any_record(learnt, outcome):
    numbers, file = outcome
    tokens = load(file)
    failures = [r.first_failure.position if r.first_failure else -1 for r in learnt[0].certificate.records]
    assert tokens["first_failure"].tolist() == failures
    assert numbers.first_failure_position == min(at for at in failures if at >= 0)
    stubborn = [next((i for i, p in enumerate(r.p) if p <= 0.5), -1) for r in learnt[0].certificate.records]
    assert tokens["earliest_stubborn"].tolist() == stubborn
    assert numbers.earliest_stubborn_position == min(at for at in stubborn if at >= 0)


def test_what_is_learnt_whole_has_no_such_positions(tiny_base):
    memory = Memory.from_pairs(PAIRS[:1])
    config = {"placement": {"layers": "all", "lora_rank": 16}, "learn": {"learning_rate": 0.01}}
    epochs = Epochs()
    numbers, file = measured(learn(memory, tiny_base, config=config, reporter=epochs), epochs.events, Costs(1.0, None))
    assert (numbers.earliest_stubborn_position, numbers.first_failure_position) == (None, None)
    assert (numbers.free_token_accuracy, numbers.stop_reason, numbers.has_converged) == (1.0, "certified", True)
    assert load(file)["first_failure"].tolist() == [-1]


def test_the_peak_is_of_what_came_after_it_began(tiny_base):
    begin_peak(tiny_base.device)
    before = peak_memory(tiny_base.device)
    if before is None:
        pytest.skip("this system does not tell a process' peak of memory")
    held = np.ones(64 * 2**20, np.uint8)
    during = peak_memory(tiny_base.device)
    assert during is not None
    assert during - before > 0.9 * held.nbytes
    del held
    begin_peak(tiny_base.device)
    after = peak_memory(tiny_base.device)
    assert after is not None
    assert during - after > 0.9 * 64 * 2**20
    assert math.isfinite(after)
