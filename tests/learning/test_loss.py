import math

import pytest
import torch
from torch.nn import functional as F

from byheart.learning.loss import token_losses
from byheart.method.weighting import critical_nll_nats
from models_for_tests import close


def some(num_tokens: int = 37, num_hidden: int = 8, num_words: int = 50):
    generator = torch.Generator().manual_seed(0)
    final_AD = torch.randn(num_tokens, num_hidden, generator=generator)
    words_VD = torch.randn(num_words, num_hidden, generator=generator)
    return final_AD, words_VD, torch.randint(num_words, (num_tokens,), generator=generator)


def test_losses_are_log_probabilities_in_nats():
    final_AD, words_VD, target_A = some()
    nll_A, _ = token_losses(lambda final: final @ words_VD.T, final_AD, target_A)
    for i, target in enumerate(target_A.tolist()):
        logits = (final_AD[i] @ words_VD.T).double().tolist()
        expected = math.log(sum(math.exp(each) for each in logits)) - logits[target]
        assert nll_A[i].item() == pytest.approx(expected, rel=1e-5)


def test_argmax_is_told():
    final_AD, words_VD, target_A = some()
    _, is_argmax_A = token_losses(lambda final: final @ words_VD.T, final_AD, target_A)
    assert is_argmax_A.tolist() == [(x @ words_VD.T).argmax() == t for x, t in zip(final_AD, target_A, strict=True)]


def test_losses_of_bfloat16_logits_are_fp32():
    final_AD, words_VD, target_A = some()
    logits_AV = (final_AD @ words_VD.T).bfloat16()
    nll_A, _ = token_losses(lambda final: logits_AV, final_AD, target_A)
    assert nll_A.dtype == torch.float32
    expected_A = -F.log_softmax(logits_AV.float(), -1).gather(-1, target_A[:, None])[:, 0]
    assert close(nll_A, expected_A, 1e-6)


@pytest.mark.parametrize("size", [0.0, 31.3125, 1000.0])
def test_a_tie_at_one_half_is_above_the_critical_loss_at_any_size_of_logits(size):
    logits_AV = torch.full((1, 64), size - 200)
    logits_AV[0, :2] = size
    nll_A, _ = token_losses(lambda final: logits_AV, torch.zeros(1, 4), torch.tensor([1]))
    assert nll_A.item() > critical_nll_nats()


def with_gradient(chunk_tokens: int, weight_A: torch.Tensor):
    final_AD, words_VD, target_A = some()
    final_AD.requires_grad_()
    nll_A, is_argmax_A = token_losses(lambda final: final @ words_VD.T, final_AD, target_A, chunk_tokens)
    (nll_A * weight_A).sum().backward()
    return nll_A.detach(), is_argmax_A, final_AD.grad


@pytest.mark.parametrize("chunk_tokens", [1, 7, 36])
def test_chunks_give_what_the_whole_gives_gradients_included(chunk_tokens):
    weight_A = torch.rand(37, generator=torch.Generator().manual_seed(1))
    in_chunks, whole = with_gradient(chunk_tokens, weight_A), with_gradient(37, weight_A)
    assert close(in_chunks[0], whole[0], 1e-6)
    assert torch.equal(in_chunks[1], whole[1])
    assert close(in_chunks[2], whole[2], 1e-6)  # type: ignore[arg-type]


def test_no_more_than_a_chunk_of_logits_is_kept_for_the_backward_pass():
    final_AD, words_VD, target_A = some()
    final_AD.requires_grad_()
    kept: list[int] = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        token_losses(lambda final: final @ words_VD.T, final_AD, target_A, chunk_tokens=10)
    assert max(kept) < 10 * 50


def test_without_a_gradient_the_losses_are_the_same_to_the_last_bit():
    final_AD, words_VD, target_A = some(num_tokens=150)
    nll_A, is_argmax_A = token_losses(lambda final: final @ words_VD.T, final_AD, target_A)
    with torch.no_grad():
        looked_A, seen_A = token_losses(lambda final: final @ words_VD.T, final_AD, target_A)
        none_A, _ = token_losses(lambda final: final @ words_VD.T, final_AD[:0], target_A[:0])
    assert torch.equal(looked_A, nll_A)
    assert torch.equal(seen_A, is_argmax_A)
    assert len(none_A) == 0
