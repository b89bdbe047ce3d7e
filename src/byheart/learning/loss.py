"""Per-token loss of packed answer tokens, in fp32 whatever the model's dtype.

The logits of a few hundred tokens over a large vocabulary are the largest tensor of a step, so they are taken in chunks
of tokens; beyond one chunk they are computed again in the backward pass instead of kept. While learning, a shortlist
may stand for the vocabulary.

Tensor names: A packed answer tokens, B records, D hidden, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from byheart.learning.shortlist import Shortlist
from byheart.method.weighting import CERTIFIED_PROBABILITY

CHUNK_TOKENS = 512
LOOKED_AT_TOKENS = 64
"""Of a chunk, whose logits are in fp32 at once where no gradient is taken."""


def by_record(nll_A: Tensor, record_A: Tensor, num_records: int) -> tuple[Tensor, Tensor]:
    """What each record's answer tokens come to.

    Args:
        nll_A: of their answer tokens, nats, fp32, on the CPU.
        record_A: which of the records each token is of.
        num_records: B.

    Returns:
        worst_B: largest loss, nats.
        num_stubborn_B: tokens at or below p = 0.5, int64.
    """
    worst_B = torch.zeros(num_records).scatter_reduce(0, record_A, nll_A, reduce="amax")
    is_stubborn_A = ~((-nll_A).exp() > CERTIFIED_PROBABILITY)
    return worst_B, torch.bincount(record_A[is_stubborn_A], minlength=num_records)


def token_losses(
    head: Callable[..., Tensor],
    final_AD: Tensor,
    target_A: Tensor,
    chunk_tokens: int = CHUNK_TOKENS,
    shortlist: Shortlist | None = None,
) -> tuple[Tensor, Tensor]:
    """Loss of each answer token, and whether greedy decoding would choose it.

    Args:
        head: final_AD → logits_AV; with a shortlist (final_AD, word_K) → logits_AK.
        final_AD: final hidden states at the positions that predict the answer tokens.
        target_A: the answer tokens' ids, int64.
        chunk_tokens: answer tokens whose logits exist at once.
        shortlist: the words to take the softmax over; None: the whole vocabulary.

    Returns:
        nll_A: −log p(target) in nats, fp32, with gradient to ``final_AD``.
        is_argmax_A: whether the target has the largest logit, bool.
    """

    def of_logits(logits_CV: Tensor, target_C: Tensor) -> tuple[Tensor, Tensor]:
        logits_CV = logits_CV.float()
        is_argmax_C = logits_CV.argmax(-1) == target_C
        if shortlist is not None:
            logits_CV = logits_CV + shortlist.weight_log_K
        # Not logsumexp less the logit: that rounds at the size of the logits, which can put a tie above p = 0.5.
        return F.cross_entropy(logits_CV, target_C, reduction="none"), is_argmax_C

    def one_chunk(final_CD: Tensor, target_C: Tensor) -> tuple[Tensor, Tensor]:
        if shortlist is None:
            logits_CV = head(final_CD)
        else:
            logits_CV, target_C = head(final_CD, shortlist.word_K), shortlist.place(target_C)
        if torch.is_grad_enabled() or not len(target_C):
            return of_logits(logits_CV, target_C)
        parts = zip(logits_CV.split(LOOKED_AT_TOKENS), target_C.split(LOOKED_AT_TOKENS), strict=True)
        nll, is_argmax = zip(*(of_logits(*part) for part in parts), strict=True)
        return torch.cat(nll), torch.cat(is_argmax)

    if len(target_A) <= chunk_tokens:
        return one_chunk(final_AD, target_A)
    chunks = [
        checkpoint(one_chunk, final_CD, target_C, use_reentrant=False, preserve_rng_state=False)
        for final_CD, target_C in zip(final_AD.split(chunk_tokens), target_A.split(chunk_tokens), strict=True)
    ]
    return torch.cat([nll_C for nll_C, _ in chunks]), torch.cat([is_argmax_C for _, is_argmax_C in chunks])
