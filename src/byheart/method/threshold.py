"""MemFT-OT (only threshold): the budget goes to tokens that greedy decoding cannot be trusted with yet.

    weight_t = 1[nll_t > critical_nll_nats],  critical_nll_nats = −ln(0.5 + margin); ln 2 in the paper, without margin

A token past the threshold is the argmax already; pushing it further would spend capacity that stubborn tokens need
(paper, MemFT).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from byheart.method.weighting import TokenBatch, WeightingState, critical_nll_nats


@dataclass(frozen=True, slots=True)
class Threshold:
    """Weight 1 above the critical loss, 0 at or below it.

    Attributes:
        critical_nll_nats: the threshold in nats.
        epsilon: the paper's worked example has 0.01.
        sft_when_none_active: the authors' scripts train a batch without any sub-threshold token with the plain SFT
            loss. The method
            means zero loss there, which is the default; set this to reproduce the scripts.
    """

    critical_nll_nats: float = critical_nll_nats()
    epsilon: float = 0.01
    sft_when_none_active: bool = False

    def __call__(self, tokens: TokenBatch, state: WeightingState) -> tuple[Tensor, WeightingState]:
        weight_A = (tokens.nll_A > self.critical_nll_nats).to(torch.float32)
        if self.sft_when_none_active and not weight_A.any():
            weight_A = torch.ones_like(weight_A)
        return weight_A, state
