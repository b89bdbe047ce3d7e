import copy
import json
import random
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from byheart.certification import check
from byheart.certification.certificate import Certificate
from byheart.certification.check import FullPass, certify, full_pass_above, score_records
from byheart.certification.config import CertifyConfig
from byheart.certification.tokens import TokenScores
from byheart.model.adapter import attached
from byheart.model.base import BaseIdentity
from models_for_tests import close
from oracles import whole_model


def scores(p: list[float]) -> TokenScores:
    p_A = torch.tensor(p)
    whole = torch.ones(len(p), dtype=torch.int64)
    return TokenScores(p_A, -p_A.log(), whole, torch.ones(len(p)), whole)


@pytest.fixture
def judged(tiny_base, untaught, encoded, monkeypatch):
    """The certificate of the first record, with a full pass and a free run that are given instead of measured."""

    def judged_(p: list[float] | None = None, run: list[int] | None = None):
        answer = list(encoded.records[0].answer_ids)
        p = p or [0.9] * len(answer)
        monkeypatch.setattr(check, "score_records", lambda *_: iter([(0, scores(p))]))
        monkeypatch.setattr(check, "free_run", lambda *_: [answer if run is None else run])
        [record] = certify(tiny_base, untaught, replace(encoded, records=encoded.records[:1])).records
        return record

    return judged_


def test_a_record_with_every_token_above_one_half_that_comes_back_is_certified(judged, encoded):
    record = judged()
    assert record.verdict == "certified"
    assert record.first_failure is None
    assert record.token_ids == encoded.records[0].answer_ids


@pytest.mark.parametrize("p", [0.5, 0.49999997, 0.1])
def test_one_token_at_or_below_one_half_makes_it_recited(judged, encoded, p):
    record = judged([0.9] * (len(encoded.records[0].answer_ids) - 1) + [p])
    assert record.verdict == "recited"
    assert record.stubborn_positions == (len(record.p) - 1,)


def test_the_next_number_above_one_half_is_enough(judged, encoded):
    above = torch.nextafter(torch.tensor(0.5), torch.tensor(1.0)).item()
    assert judged([above] * len(encoded.records[0].answer_ids)).verdict == "certified"


def test_a_free_run_that_differs_fails_and_says_where_and_how(judged, encoded, tiny_base):
    answer = list(encoded.records[0].answer_ids)
    other = next(i for i in range(40, 90) if i != answer[3])
    record = judged([0.4] * len(answer), run=[*answer[:3], other, *answer[4:]])
    assert record.verdict == "failed"
    assert record.first_failure is not None
    assert record.first_failure.position == 3
    assert record.first_failure.expected == tiny_base.tokenizer.decode([answer[3]])
    assert record.first_failure.got == tiny_base.tokenizer.decode([other])
    assert record.first_failure.run_ids == (other, *answer[4:])
    assert not record.is_contradicted


def test_a_free_run_that_ends_early_fails_with_nothing_got(judged, encoded):
    record = judged(run=list(encoded.records[0].answer_ids[:2]))
    assert record.first_failure is not None
    assert (record.first_failure.position, record.first_failure.got, record.first_failure.run_ids) == (2, "", ())


def test_a_free_run_that_ends_its_turn_early_fails_with_the_end_of_turn(judged, encoded):
    record = judged(run=[*encoded.records[0].answer_ids[:2], encoded.stop_id])
    assert record.first_failure is not None
    assert record.first_failure.got == "<|im_end|>"


def test_a_failed_run_with_every_token_above_one_half_is_contradicted_and_not_certified(judged, encoded):
    record = judged(run=[1, *encoded.records[0].answer_ids[1:]])
    assert record.verdict == "failed"
    assert record.is_contradicted


def test_a_taught_memory_is_certified(tiny_base, taught, encoded):
    certificate = certify(tiny_base, taught, encoded)
    assert [record.verdict for record in certificate.records] == ["certified"] * len(encoded)
    assert [record.id for record in certificate.records] == [record.id for record in encoded.records]


def test_an_untaught_memory_fails(tiny_base, untaught, encoded):
    certificate = certify(tiny_base, untaught, encoded)
    assert [record.verdict for record in certificate.records] == ["failed"] * len(encoded)
    assert all(record.first_failure is not None for record in certificate.records)


@pytest.mark.parametrize("max_batch_tokens", [1, 150, 10**6])
@pytest.mark.parametrize("adapter_name", ["taught", "untaught"])
def test_the_full_pass_has_the_oracles_probabilities(tiny_base, encoded, request, adapter_name, max_batch_tokens):
    adapter = request.getfixturevalue(adapter_name)
    certificate = certify(tiny_base, adapter, encoded, CertifyConfig(max_batch_tokens=max_batch_tokens))
    oracle = whole_model.with_lora(tiny_base.model, adapter)
    for got, record in zip(certificate.records, encoded.records, strict=True):
        nll_A = whole_model.answer_nll(oracle, record).detach()
        assert torch.allclose(torch.tensor(got.nll_nats), nll_A, rtol=1e-4, atol=1e-6)
        assert close(torch.tensor(got.p), (-nll_A).exp(), 1e-5)


def test_ranks_margins_and_rivals_are_the_whole_models(tiny_base, untaught, encoded):
    record, got = encoded.records[1], certify(tiny_base, untaught, encoded).records[1]
    tokens = torch.tensor([record.prompt_ids + record.answer_ids])
    with torch.no_grad(), attached(tiny_base.model, untaught):
        logits = tiny_base.model(input_ids=tokens, use_cache=False).logits[0, len(record.prompt_ids) - 1 : -1]
    for i, target in enumerate(record.answer_ids):
        order = logits[i].argsort(descending=True).tolist()
        assert got.token_rank[i] == 1 + order.index(target)
        rival = order[1] if order[0] == target else order[0]
        assert got.rival[i] == tiny_base.tokenizer.decode([rival])
        assert got.logit_margin[i] == pytest.approx(float(logits[i, target] - logits[i, rival]), rel=1e-4)


def test_logits_taken_in_chunks_score_alike(tiny_base, taught, encoded, monkeypatch):
    whole = certify(tiny_base, taught, encoded)
    monkeypatch.setattr(check, "LOGIT_CHUNK_TOKENS", 3)
    chunked = certify(tiny_base, taught, encoded)
    for first, second in zip(whole.records, chunked.records, strict=True):
        assert second.p == pytest.approx(first.p, rel=1e-5)
        assert second.token_rank == first.token_rank


def test_the_weights_are_certified_as_they_are_saved(tiny_base, taught, encoded):
    # In a base of 16 bits an adapter is certified after its rounding to 16 bits.
    nudged = taught.rounded(torch.float32)
    with torch.no_grad():
        for parameter in nudged.parameters():
            parameter.mul_(1 + 2**-12)
    coarse = replace(tiny_base, model=copy.deepcopy(tiny_base.model).to(torch.bfloat16))
    measured = certify(coarse, taught, encoded)
    assert certify(coarse, nudged.rounded(torch.bfloat16), encoded) == certify(coarse, nudged, encoded)
    assert measured.subject.adapter_sha256 == taught.sha256(torch.bfloat16) != taught.sha256(torch.float32)
    assert certify(coarse, taught.rounded(torch.bfloat16), encoded) == measured


def test_the_adapter_that_is_passed_in_is_not_changed(tiny_base, taught, encoded):
    adapter = taught.rounded(torch.float32).train()
    before = adapter.sha256(torch.float32)
    certify(tiny_base, adapter, encoded)
    assert adapter.sha256(torch.float32) == before
    assert adapter.training


def test_the_model_is_left_as_it_was(tiny_base, taught, encoded):
    certify(tiny_base, taught, encoded)
    assert not any(module._forward_hooks for module in tiny_base.model.modules())


def test_dropout_has_no_part_in_it(tiny_base, taught, encoded):
    shaky = taught.rounded(torch.float32)
    shaky.placement = replace(taught.placement, lora_dropout=0.9)
    shaky.train()
    assert certify(tiny_base, shaky, encoded).records == certify(tiny_base, taught, encoded).records


def test_fp32_values_are_written_as_decimals_that_read_back_to_them():
    rng = random.Random(0)
    values = [rng.random(), rng.random() * 1e-30, rng.random() * 1e30, 0.5, 1 / 3, 1e-45, 0.0, 1.0]
    values_A = torch.tensor([rng.choice(values) * rng.random() for _ in range(500)] + values)
    written = check._shortest(values_A)
    assert torch.equal(torch.tensor(written), values_A)
    assert check._shortest(torch.tensor([0.1, 0.7])) == (0.1, 0.7)


def test_the_certificate_names_what_was_measured(tiny_base, taught, encoded):
    subject = certify(tiny_base, taught, encoded).subject
    identity: BaseIdentity = tiny_base.identity
    assert subject.model_dump() == {
        "base_name": identity.name,
        "base_architecture": "LlamaForCausalLM",
        "base_revision": None,
        "base_weights_sha256": identity.weights_sha256,
        "adapter_sha256": taught.sha256(torch.float32),
        "tokenizer_fingerprint": encoded.tokenizer_fingerprint,
        "template_fingerprint": encoded.template_fingerprint,
        "prompt_fingerprint": encoded.prompt_fingerprint,
        "memory_fingerprint": encoded.fingerprint,
    }


def test_the_certificate_names_the_numerics(tiny_base, taught, encoded):
    numerics = certify(tiny_base, taught, encoded, CertifyConfig(max_batch_tokens=77)).numerics
    assert (numerics.dtype, numerics.device, numerics.attention) == ("float32", "cpu", "sdpa")
    assert (numerics.max_batch_tokens, numerics.num_threads) == (77, torch.get_num_threads())
    assert numerics.versions["torch"] == torch.__version__
    assert set(numerics.versions) == {"byheart", "python", "torch", "transformers"}
    assert numerics.device_name


def test_every_record_is_told_twice(tiny_base, untaught, encoded):
    told = []
    certify(tiny_base, untaught, encoded, advance=told.append)
    assert sum(told) == 2 * len(encoded)


def test_a_full_pass_is_above_for_a_taught_memory_and_not_for_an_untaught_one(tiny_base, taught, untaught, encoded):
    assert full_pass_above(tiny_base, taught, encoded, CertifyConfig(), 0.5)
    assert full_pass_above(tiny_base, untaught, encoded, CertifyConfig(), 0.5) is None


def test_above_is_strict(tiny_base, taught, encoded):
    with attached(tiny_base.model, taught):
        lowest = min(float(scores.p_A.min()) for _, scores in score_records(tiny_base, encoded, CertifyConfig()))
    assert full_pass_above(tiny_base, taught, encoded, CertifyConfig(), lowest) is None
    assert full_pass_above(tiny_base, taught, encoded, CertifyConfig(), lowest - 1e-6)


def test_a_full_pass_ends_at_the_first_record_that_is_not_above(tiny_base, untaught, encoded, monkeypatch):
    scored = []
    monkeypatch.setattr(
        check, "score_records", lambda *_: ((i, scores([0.1])) for i in range(9) if scored.append(i) is None)
    )
    assert full_pass_above(tiny_base, untaught, encoded, CertifyConfig(), 0.5) is None
    assert scored == [0]


def test_a_full_pass_that_was_made_is_not_made_again_and_gives_the_same_certificate(
    tiny_base, taught, encoded, monkeypatch
):
    expected = certify(tiny_base, taught, encoded)
    made = full_pass_above(tiny_base, taught, encoded, CertifyConfig(), 0.5)
    told = []
    monkeypatch.setattr(check, "score_records", lambda *_: pytest.fail("a second full pass was made"))
    assert certify(tiny_base, taught, encoded, advance=told.append, full_pass=made) == expected
    assert sum(told) == 2 * len(encoded)


@pytest.mark.parametrize(
    "other", [{"adapter_sha256": "0"}, {"memory_fingerprint": "0"}, {"config": CertifyConfig(max_batch_tokens=1)}]
)
def test_a_full_pass_of_anything_else_proves_nothing(tiny_base, taught, encoded, other):
    made = full_pass_above(tiny_base, taught, encoded, CertifyConfig(), 0.5)
    assert isinstance(made, FullPass)
    foreign = replace(made, **other, scores={index: scores([0.1]) for index in made.scores})
    assert certify(tiny_base, taught, encoded, full_pass=foreign) == certify(tiny_base, taught, encoded)


def test_log_softmax_over_everything_is_what_the_oracle_takes(tiny_base, encoded):
    record = encoded.records[1]
    ids = record.prompt_ids + record.answer_ids
    logits = tiny_base.model(input_ids=torch.tensor([ids]), use_cache=False).logits[0]
    last = -F.log_softmax(logits[-2], -1)[ids[-1]]
    assert torch.allclose(whole_model.answer_nll(tiny_base.model, record)[-1], last)


def test_an_adapter_that_is_not_numbers_is_never_certified_nor_accurate(tiny_base, taught, encoded, tmp_path):
    broken = copy.deepcopy(taught)
    with torch.no_grad():
        broken.lora_B[0].fill_(float("nan"))
    certificate = certify(tiny_base, broken, encoded)
    assert certificate.num("certified") == 0
    assert certificate.token_accuracy == 0
    certificate.save(tmp_path / "certificate.json")
    text = (tmp_path / "certificate.json").read_text()
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert Certificate.read(tmp_path / "certificate.json") == certificate


def test_the_processor_is_told_by_its_own_name(tmp_path):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nmodel name\t: Xeon: the 9th\n\nprocessor\t: 1\nmodel name\t: other\n")
    assert check._processor_name(cpuinfo) == "Xeon: the 9th"
    cpuinfo.write_text("processor\t: 0\n")
    assert check._processor_name(cpuinfo) == check._processor_name(tmp_path / "missing")
    assert check._device_name(torch.device("cpu")).endswith(f"({torch.backends.cpu.get_cpu_capability()})")
