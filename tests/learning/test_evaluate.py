import math

import pytest
import torch

from byheart.learning import evaluate
from byheart.learning.activations import compute_activations
from byheart.learning.evaluate import record_losses
from byheart.learning.loss import token_losses
from byheart.learning.shortlist import Vocabulary
from byheart.memory.encode import encode
from byheart.memory.records import Memory
from models_for_tests import close
from oracles import whole_model


def test_what_there_is_to_lose_is_the_base_models_loss_summed_by_record(
    split_model, tiny_encoded, activations, tiny_base
):
    nll_N = record_losses(split_model, activations).sum_N
    expected = [whole_model.answer_nll(tiny_base.model, record).sum() for record in tiny_encoded.records]
    assert close(nll_N, torch.stack(expected))


def test_records_of_many_batches_keep_their_places(split_model, tiny_base, tmp_path):
    pairs = [(f"Number {i}?", "x" * (i * 7 % 60 + 1)) for i in range(80)]
    encoded = encode(Memory.from_pairs(pairs), tiny_base.tokenizer)
    cache = compute_activations(split_model, encoded, tiny_base.device, memory_budget_bytes=2**30, directory=tmp_path)
    nll_N = record_losses(split_model, cache).sum_N
    for index in (0, 31, 79):
        assert close(nll_N[index], whole_model.answer_nll(tiny_base.model, encoded.records[index]).sum())


def test_the_worst_token_of_a_record_is_told_apart(split_model, tiny_encoded, activations, tiny_base):
    worst_N = record_losses(split_model, activations).worst_N
    expected = [whole_model.answer_nll(tiny_base.model, record).max() for record in tiny_encoded.records]
    assert close(worst_N, torch.stack(expected))


def test_the_words_that_beat_a_token_are_named(split_model, tiny_encoded, activations, tiny_base):
    rivals = record_losses(split_model, activations, find_rivals=True).rivals
    assert list(rivals) == sorted(set(rivals))
    for record in tiny_encoded.records:
        ids = torch.tensor([record.prompt_ids + record.answer_ids])
        with torch.no_grad():
            logits_TV = tiny_base.model(input_ids=ids, use_cache=False).logits[0]
        winners = logits_TV.argmax(-1)[len(record.prompt_ids) - 1 : -1]
        assert set(winners.tolist()) <= set(rivals)


def test_no_rival_is_named_unless_asked_for(split_model, activations):
    assert record_losses(split_model, activations).rivals == ()


@pytest.mark.parametrize("share_known", [0.0, 0.5, 1.0])
def test_a_token_in_doubt_is_not_left_to_the_sample(split_model, activations, monkeypatch, share_known):
    num_words = split_model.model.get_output_embeddings().weight.shape[0]
    answered = sorted({word for record in activations.memory.records for word in record.answer_ids})
    shortlist = Vocabulary(torch.tensor(answered), num_words, num_sampled=1).draw(0)
    batch, hidden = activations.batch(range(len(activations.memory)))
    final_AD = split_model.suffix(hidden, batch.predicting_A)
    estimated_A, exact_A = (
        token_losses(split_model.head, final_AD, batch.target_A, shortlist=each)[0] for each in (shortlist, None)
    )
    least_known = float(estimated_A.detach().quantile(share_known)) + (1e-3 if share_known == 1 else -1e-3)
    monkeypatch.setattr(evaluate, "WELL_KNOWN", math.exp(-least_known))
    is_doubtful_A = estimated_A > least_known
    assert is_doubtful_A.float().mean() == pytest.approx(1 - share_known, abs=0.05)
    expected_A = torch.where(is_doubtful_A, exact_A, estimated_A)
    expected_N = torch.zeros(len(activations.memory)).index_add(0, batch.record_A, expected_A)
    assert close(record_losses(split_model, activations, shortlist=shortlist).sum_N, expected_N)


def test_an_estimate_over_all_words_is_exact(split_model, activations):
    num_words = split_model.model.get_output_embeddings().weight.shape[0]
    shortlist = Vocabulary(torch.arange(num_words - 1), num_words, num_sampled=1).draw(0)
    estimated, exact = (record_losses(split_model, activations, shortlist=each) for each in (shortlist, None))
    assert close(estimated.sum_N, exact.sum_N)
