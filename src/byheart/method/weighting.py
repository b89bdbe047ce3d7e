"""How much each answer token counts in the objective: the protocol, the objective itself, and the plain case (SFT).

A weighting sees the packed answer tokens of one batch and the state it returned last time; it returns a weight for each
token and the new state. The objective is

    objective = Σ_A weight_A · nll_A / (Σ_A weight_A + epsilon)

(paper, MemFT). Weights are data, not functions of the parameters: no gradient flows through them. State is a value
keyed by record id, so it depends neither on a record's place in a batch nor on the life of a process.

Tensor names: A packed answer tokens of a batch, ordered by record, then by position.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import torch
from torch import Tensor

from byheart.method.config import CERTIFIED_PROBABILITY

WeightingState: TypeAlias = Mapping[str, Mapping[str, float]]
"""Record id → that record's own numbers; plain values, so that a checkpoint can hold them."""


@dataclass(frozen=True, slots=True)
class TokenBatch:
    """The answer tokens of one batch as the adapter predicts them now: all that a weighting may look at.

    Attributes:
        nll_A: negative log likelihood of each answer token in nats; fp32, detached. With the shortlist an estimate.
        is_argmax_A: whether the answer token is the most probable one; bool. With the shortlist among its words alone,
            but for methods of `MethodConfig.needs_argmax`, whose steps go without it.
        record_A: index into ``record_ids`` of the record each token belongs to; int64, non-decreasing.
        position_A: place of each token in its record's answer, from 0; int64.
        record_ids: the batch's records in order.
    """

    nll_A: Tensor
    is_argmax_A: Tensor
    record_A: Tensor
    position_A: Tensor
    record_ids: tuple[str, ...]


class TokenWeighting(Protocol):
    """A rule that weighs answer tokens; see `Uniform` for the smallest one."""

    @property
    def epsilon(self) -> float:
        """Added to the sum of weights in the objective's denominator."""
        ...

    def __call__(self, tokens: TokenBatch, state: WeightingState) -> tuple[Tensor, WeightingState]:
        """Weights for a batch.

        Returns:
            weight_A: fp32, finite, ≥ 0, on ``nll_A``'s device.
            state: for the next call; entries of records outside this batch are carried over untouched.
        """
        ...


def critical_nll_nats(margin: float = 0.0) -> float:
    """The loss at which a token's probability is exactly 0.5 + ``margin``; ln 2 ≈ 0.693 nats without margin.

    Rounded down to fp32: fp32 losses are compared with it, and ln 2 rounded up would let a tie at p = 0.5 pass as
    certified.

    >>> round(critical_nll_nats(), 4)
    0.6931
    """
    exact = -math.log(CERTIFIED_PROBABILITY + margin)
    rounded = torch.tensor(exact, dtype=torch.float32)
    if rounded.item() > exact:
        rounded = torch.nextafter(rounded, torch.tensor(0.0))
    return rounded.item()


def objective(nll_A: Tensor, weight_A: Tensor, epsilon: float) -> Tensor:
    """Weighted mean loss, a scalar in nats; exactly zero where no token counts.

    Args:
        nll_A: fp32, with gradient.
        weight_A: fp32, from a `TokenWeighting`; taken as data, whatever it was computed from.
        epsilon: keeps the quotient defined; a positive one shrinks the objective of batches with few active tokens.
    """
    weight_A = weight_A.detach()
    total = weight_A.sum() + epsilon
    return (weight_A * nll_A).sum() / total.clamp_min(torch.finfo(torch.float32).tiny)


@dataclass(frozen=True, slots=True)
class Uniform:
    """Supervised fine-tuning: every answer token counts alike, so the objective is the mean loss."""

    epsilon: float = 0.0

    def __call__(self, tokens: TokenBatch, state: WeightingState) -> tuple[Tensor, WeightingState]:
        return torch.ones_like(tokens.nll_A), state
