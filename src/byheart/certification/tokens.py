"""Logits → what can be said of each answer token: its probability, its place among all tokens, and its distance from
the next best.

Tensor names: A packed answer tokens, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

LARGEST = torch.finfo(torch.float32).max
"""Stands for infinity, which JSON cannot write."""


@dataclass(frozen=True, slots=True)
class TokenScores:
    """Scores of packed answer tokens, taken in fp32; all of them finite.

    Where logits are not numbers (NaN, or an infinite one on top) nothing is known of the token: p is 0, the loss
    `LARGEST`, the rank the last, the margin −`LARGEST`. A logit of −∞, a token that the model rules out, is as good as
    any other.

    Attributes:
        p_A: probability; above 0.5 only where no other token has as large a logit, rounding included.
        nll_A: −ln p, nats; kept beside p because p underflows to 0.
        token_rank_A: 1 for the most probable token; tokens with an equal logit count as better, since greedy decoding
            may choose them.
        logit_margin_A: the token's logit less the largest other one; above 0 exactly where the token is the argmax,
            ties left out.
        rival_A: id of the token with that largest other logit.
    """

    p_A: Tensor
    nll_A: Tensor
    token_rank_A: Tensor
    logit_margin_A: Tensor
    rival_A: Tensor

    @classmethod
    def joined(cls, parts: list[TokenScores]) -> TokenScores:
        """The scores of several packs, one after the other."""
        return cls(*(torch.cat([getattr(part, name) for part in parts]) for name in cls.__slots__))

    def cpu(self) -> TokenScores:
        """The same on the CPU."""
        return TokenScores(*(getattr(self, name).cpu() for name in self.__slots__))

    def __getitem__(self, chosen_A: Tensor) -> TokenScores:
        """The scores of some tokens, chosen by a bool mask or indices."""
        return TokenScores(*(getattr(self, name)[chosen_A] for name in self.__slots__))


def score(logits_AV: Tensor, target_A: Tensor) -> TokenScores:
    """Scores of the tokens ``target_A`` under ``logits_AV`` (any float dtype).

    >>> scores = score(torch.tensor([[2.0, 1.0, 0.0]]), torch.tensor([1]))
    >>> scores.token_rank_A.item(), scores.rival_A.item(), scores.logit_margin_A.item()
    (2, 0, -1.0)
    """
    logits_AV, num_tokens = logits_AV.float(), logits_AV.shape[-1]
    is_known_A = logits_AV.amax(-1).isfinite()  # a NaN anywhere comes out as the largest
    logits_AV = logits_AV.where(is_known_A.unsqueeze(-1), 0.0)
    index_A1 = target_A.unsqueeze(-1)
    target_logit_A1 = logits_AV.gather(-1, index_A1)
    # Both softmaxes take the largest logit away first. logsumexp less the logit would round at the size of the logits:
    # two tied tokens could then both have p > 0.5, which is what the certificate rests on.
    nll_A = logits_AV.log_softmax(-1).gather(-1, index_A1).squeeze(-1).abs()  # never above 0; a minus would give -0.0
    p_A = logits_AV.softmax(-1).gather(-1, index_A1).squeeze(-1)
    others_AV = logits_AV.scatter(-1, index_A1, -torch.inf)
    rival_logit_A, rival_A = others_AV.max(-1)
    rank_A, margin_A = 1 + (others_AV >= target_logit_A1).sum(-1), target_logit_A1.squeeze(-1) - rival_logit_A
    return TokenScores(
        p_A=p_A.where(is_known_A, 0.0),
        nll_A=nll_A.where(is_known_A, LARGEST).clamp(max=LARGEST),
        token_rank_A=rank_A.where(is_known_A, num_tokens).clamp(max=num_tokens),
        logit_margin_A=margin_A.where(is_known_A, -LARGEST).clamp(-LARGEST, LARGEST),
        rival_A=rival_A,
    )
