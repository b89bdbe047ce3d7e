import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from byheart.learning.evaluate import likely_words
from byheart.learning.loss import token_losses
from byheart.learning.shortlist import Shortlist, Vocabulary
from byheart.model.adapter import attached
from byheart.model.split import SplitModel
from models_for_tests import all_close, close

NUM_WORDS = 300
LIKELY = torch.tensor([3, 10, 11, 40])


def some(num_tokens: int = 20):
    generator = torch.Generator().manual_seed(0)
    final_AD = torch.randn(num_tokens, 8, generator=generator)
    words_VD = torch.randn(NUM_WORDS, 8, generator=generator)
    target_A = LIKELY[torch.randint(len(LIKELY), (num_tokens,), generator=generator)]
    return final_AD, words_VD, target_A


def losses(shortlist: Shortlist | None, chunk_tokens: int = 512):
    final_AD, words_VD, target_A = some()
    final_AD.requires_grad_()

    def head(final_AD, word_K=None):
        return final_AD @ (words_VD if word_K is None else words_VD[word_K]).T

    nll_A, is_argmax_A = token_losses(head, final_AD, target_A, chunk_tokens, shortlist)
    nll_A.sum().backward()
    assert final_AD.grad is not None
    return nll_A.detach(), is_argmax_A, final_AD.grad


def test_a_shortlist_of_all_words_is_the_whole_vocabulary():
    everything = torch.arange(NUM_WORDS)
    vocabulary = Vocabulary(everything[:-1], NUM_WORDS, num_sampled=1)  # the one other word is sampled
    likely, full = losses(vocabulary.draw(0)), losses(None)
    assert close(likely[0], full[0], 1e-5) and close(likely[2], full[2], 1e-5)
    assert torch.equal(likely[1], full[1])


def test_the_softmaxs_sum_is_right_on_average():
    final_AD, words_VD, target_A = some()
    logits_AV = final_AD @ words_VD.T
    vocabulary = Vocabulary(LIKELY, NUM_WORDS, num_sampled=20)
    sums = []
    for seed in range(2000):
        nll_A, _, _ = losses(vocabulary.draw(seed))
        sums.append((nll_A + logits_AV.gather(1, target_A[:, None])[:, 0]).exp())
    sums_NA = torch.stack(sums)
    standard_error_A = sums_NA.std(0) / math.sqrt(len(sums))
    assert ((sums_NA.mean(0) - logits_AV.exp().sum(1)).abs() < 4.5 * standard_error_A).all()


def test_chunks_give_what_the_whole_gives():
    shortlist = Vocabulary(LIKELY, NUM_WORDS, num_sampled=20).draw(0)
    assert all_close(losses(shortlist, 7)[::2], losses(shortlist)[::2])


def test_the_argmax_is_among_unweighted_logits():
    final_AD, words_VD, target_A = some()
    shortlist = Vocabulary(LIKELY, NUM_WORDS, num_sampled=1).draw(0)
    logits_AK = final_AD @ words_VD[shortlist.word_K].T
    assert torch.equal(losses(shortlist)[1], shortlist.word_K[logits_AK.argmax(1)] == target_A)


@given(likely=st.sets(st.integers(0, 49), min_size=1, max_size=40), seed=st.integers(0, 2**40))
def test_likely_words_are_there_once_with_weight_one_and_others_stand_for_the_rest(likely, seed):
    vocabulary = Vocabulary(torch.tensor(sorted(likely)), 50, num_sampled=5)
    shortlist = vocabulary.draw(seed)
    first, rest = shortlist.word_K[: len(likely)], shortlist.word_K[len(likely) :]
    assert first.tolist() == sorted(likely)
    assert not set(rest.tolist()) & likely
    assert shortlist.weight_log_K[: len(likely)].eq(0).all()
    assert shortlist.weight_log_K[len(likely) :].exp().sum().item() == pytest.approx(50 - len(likely), rel=1e-5)
    assert torch.equal(shortlist.place(first), torch.arange(len(likely)))


def test_the_same_seed_draws_the_same_words_and_another_others():
    vocabulary = Vocabulary(LIKELY, NUM_WORDS, num_sampled=20)
    assert torch.equal(vocabulary.draw(2**35 + 1).word_K, vocabulary.draw(2**35 + 1).word_K)
    assert not torch.equal(vocabulary.draw(1).word_K, vocabulary.draw(2).word_K)


def test_a_shortlist_nearly_as_long_as_the_vocabulary_does_not_pay():
    assert Vocabulary(LIKELY, 10_000, num_sampled=1024).pays
    assert not Vocabulary(LIKELY, 2_000, num_sampled=1024).pays


def test_the_answers_and_the_models_own_guesses_are_likely(split_model, activations, tiny_encoded, monkeypatch):
    monkeypatch.setattr(Vocabulary, "pays", True)
    vocabulary = likely_words(split_model, activations)
    assert vocabulary is not None
    likely = set(vocabulary.likely.tolist())
    batch, hidden = activations.batch([1])
    with torch.no_grad():
        logits_AV = split_model.head(split_model.suffix(hidden, batch.predicting_A))
    assert {word for record in tiny_encoded.records for word in record.answer_ids} <= likely
    assert set(logits_AV.argmax(-1).tolist()) <= likely


def test_a_small_vocabulary_is_taken_whole(split_model, activations):
    assert likely_words(split_model, activations) is None


def test_a_model_that_cannot_pick_words_takes_them_all(split_model, activations, monkeypatch):
    monkeypatch.setattr(Vocabulary, "pays", True)
    assert likely_words(SplitModel(split_model.model, 1, shares_prompt=True), activations) is None


def test_a_step_measures_what_its_shortlist_says(make_stepper, activations, split_model, tiny_encoded):
    num_words = split_model.model.get_output_embeddings().weight.shape[0]
    likely = torch.tensor(sorted({word for record in tiny_encoded.records for word in record.answer_ids}))
    vocabulary = Vocabulary(likely, num_words, num_sampled=7)
    stepper = make_stepper(vocabulary=vocabulary)
    batch, hidden = activations.batch([0, 2])
    shortlist = vocabulary.draw(5)
    with torch.no_grad(), attached(split_model.model, stepper.adapter):
        logits_AK = split_model.head(split_model.suffix(hidden, batch.predicting_A), shortlist.word_K)
    expected_A = F.cross_entropy(logits_AK + shortlist.weight_log_K, shortlist.place(batch.target_A), reduction="none")
    [outcome], _ = stepper.step([0, 2], 1e-3, {}, 5)
    assert close(outcome.nll_A, expected_A)


def test_a_word_that_is_admitted_is_likely_from_then_on():
    vocabulary = Vocabulary(LIKELY, NUM_WORDS, num_sampled=20)
    vocabulary.admit([7, 40, 299])
    shortlist = vocabulary.draw(0)
    assert shortlist.word_K[:6].tolist() == [3, 7, 10, 11, 40, 299]
    assert not set(shortlist.word_K[6:].tolist()) & {3, 7, 10, 11, 40, 299}
    assert shortlist.weight_log_K[6:].exp().sum().item() == pytest.approx(NUM_WORDS - 6, rel=1e-5)


def test_admitting_what_is_known_changes_nothing():
    vocabulary = Vocabulary(LIKELY, NUM_WORDS, num_sampled=20)
    before = vocabulary.draw(3).word_K
    vocabulary.admit([10, 3])
    assert torch.equal(vocabulary.draw(3).word_K, before)


def test_a_list_that_would_be_nearly_the_vocabulary_stays_as_it_is():
    vocabulary = Vocabulary(LIKELY, NUM_WORDS, num_sampled=20)
    assert not vocabulary.admit(range(200))
    assert torch.equal(vocabulary.likely, LIKELY)
