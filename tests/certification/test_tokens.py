import math
import random

import pytest
import torch

from byheart.certification.tokens import LARGEST, TokenScores, score


def in_plain_python(logits: list[float], target: int) -> dict[str, float]:
    """The scores of one token, from their definitions."""
    top = max(logits)
    total = math.fsum(math.exp(each - top) for each in logits)
    others = [each for token_id, each in enumerate(logits) if token_id != target]
    return {
        "p": math.exp(logits[target] - top) / total,
        "nll": math.log(total) - (logits[target] - top),
        "token_rank": 1 + sum(each >= logits[target] for each in others),
        "logit_margin": logits[target] - max(others),
        "rival_logit": max(others),
    }


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("seed", range(5))
def test_scores_are_what_their_definitions_say(seed, dtype):
    rng = random.Random(seed)
    # Few different values: ties are common.
    rows = [[rng.choice([-2.0, 0.0, 0.5, 3.0, rng.gauss(0, 4)]) for _ in range(9)] for _ in range(40)]
    logits_AV = torch.tensor(rows).to(dtype)
    target_A = torch.tensor([rng.randrange(9) for _ in rows])
    scores = score(logits_AV, target_A)
    for i, (row, target) in enumerate(zip(logits_AV.tolist(), target_A.tolist(), strict=True)):
        expected = in_plain_python(row, target)
        assert scores.p_A[i].item() == pytest.approx(expected["p"], rel=1e-5)
        assert scores.nll_A[i].item() == pytest.approx(expected["nll"], rel=1e-5, abs=1e-6)
        assert scores.token_rank_A[i].item() == expected["token_rank"]
        assert scores.logit_margin_A[i].item() == pytest.approx(expected["logit_margin"], abs=1e-6)
        assert row[int(scores.rival_A[i])] == expected["rival_logit"]
        assert scores.rival_A[i].item() != target


@pytest.mark.parametrize("size", [0.0, 3.3, 31.3125, 87.0, 1000.0, -1000.0])
@pytest.mark.parametrize("num_tied", [2, 3])
def test_no_token_of_a_tie_is_above_one_half_at_any_size_of_logits(size, num_tied):
    logits_AV = torch.full((num_tied, 64), size - 200)
    logits_AV[:, :num_tied] = size
    scores = score(logits_AV, torch.arange(num_tied))
    assert not (scores.p_A > 0.5).any()
    assert scores.token_rank_A.tolist() == [num_tied] * num_tied
    assert scores.logit_margin_A.tolist() == [0.0] * num_tied


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_above_one_half_a_token_is_the_only_argmax(dtype):
    generator = torch.Generator().manual_seed(0)
    logits_AV = (torch.randn(4000, 4, generator=generator) * 3 + 30).to(dtype)
    logits_AV[::3, 1] = logits_AV[::3, 0]
    for target in range(4):
        scores = score(logits_AV, torch.full((4000,), target))
        sure_A = scores.p_A > 0.5
        assert sure_A.any()
        assert (scores.logit_margin_A[sure_A] > 0).all()
        assert (scores.token_rank_A[sure_A] == 1).all()


def test_an_impossible_token_keeps_its_loss_where_p_is_nought():
    scores = score(torch.tensor([[200.0, 0.0]]), torch.tensor([1]))
    assert (scores.p_A.item(), scores.nll_A.item()) == (0.0, 200.0)


def test_a_certain_tokens_loss_is_nought_without_a_sign():
    assert str(score(torch.tensor([[200.0, 0.0]]), torch.tensor([0])).nll_A.item()) == "0.0"


def test_scores_are_fp32_whatever_the_logits():
    scores = score(torch.zeros(1, 3, dtype=torch.bfloat16), torch.tensor([0]))
    assert {scores.p_A.dtype, scores.nll_A.dtype, scores.logit_margin_A.dtype} == {torch.float32}


def test_packs_are_joined_in_order_and_taken_apart_by_mask():
    logits_AV, target_A = torch.randn(5, 7), torch.tensor([0, 3, 3, 6, 1])
    whole = score(logits_AV, target_A)
    joined = TokenScores.joined([score(logits_AV[:2], target_A[:2]), score(logits_AV[2:], target_A[2:])])
    mask_A = torch.tensor([True, False, True, False, False])
    for name in TokenScores.__slots__:
        assert torch.equal(getattr(joined, name), getattr(whole, name))
        assert torch.equal(getattr(whole[mask_A], name), getattr(whole, name)[[0, 2]])


@pytest.mark.parametrize("broken", [math.nan, math.inf])
@pytest.mark.parametrize("place", [0, 1])
def test_of_logits_that_are_not_numbers_nothing_is_known(broken, place):
    logits_AV = torch.tensor([[5.0, 0.0, 0.0], [5.0, 0.0, 0.0]])
    logits_AV[1, place] = broken
    scores = score(logits_AV, torch.tensor([0, 0]))
    assert scores.p_A[0] > 0.5
    assert (scores.p_A[1].item(), scores.nll_A[1].item()) == (0.0, LARGEST)
    assert (scores.token_rank_A[1].item(), scores.logit_margin_A[1].item()) == (3, -LARGEST)


def test_a_token_that_is_ruled_out_has_finite_scores_and_leaves_the_others_alone():
    logits_AV = torch.tensor([[-math.inf, 1.0, 0.0]] * 2 + [[2.0, -math.inf, -math.inf], [-math.inf] * 3])
    scores = score(logits_AV, torch.tensor([0, 1, 0, 0]))
    assert all(getattr(scores, name).isfinite().all() for name in TokenScores.__slots__)
    assert scores.p_A.tolist() == pytest.approx([0.0, 1 / (1 + math.exp(-1)), 1.0, 0.0])
    assert scores.token_rank_A.tolist() == [3, 1, 1, 3]
    assert scores.logit_margin_A.tolist() == [-LARGEST, 1.0, LARGEST, -LARGEST]
