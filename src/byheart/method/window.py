"""MemFT-SW, spatial: a soft threshold inside a window that starts at each record's first error.

A free run fails at its first wrong token and never recovers, so what comes after the first error is worth less until
that error is mended:

    weight_t = σ(κ · (nll_t − critical_nll_nats)) · mask_t
    mask_t   = exp(−max(t − anchor, 0) / τ)   where t − anchor < window,   floor elsewhere
    window   = base_window · expansion

``anchor`` is the record's first teacher-forced argmax error; without one mask_t = 1. ``expansion`` starts at 1, grows
by 0.5 a step once the anchor has stayed put for 3 steps, up to 4, and falls back to 1 when the anchor moves (constants:
the authors' scripts).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from byheart.method.weighting import TokenBatch, WeightingState, critical_nll_nats

NO_ERROR = -1.0


@dataclass(frozen=True, slots=True)
class SlidingWindow:
    """Sigmoid of the loss times a window that follows the first error.

    Attributes:
        critical_nll_nats: centre of the sigmoid, nats.
        sharpness: κ, 1/nats.
        decay_tokens: τ, tokens.
        window_tokens: the window's length at expansion 1, tokens.
        floor: mask outside the window.
        patience: steps the anchor must have stayed put before the window grows.
        growth: added to the expansion at each such step.
        max_expansion: upper bound of the expansion.
        epsilon: added to the objective's denominator.
        state_by_slot: the authors' scripts keep the state by place in the batch, not by record; set this to reproduce
            them.
        skip_last_tokens: the scripts for Qwen leave out the last five answer tokens, as if the answer ended before
            them;
            set 5 to reproduce them.
    """

    critical_nll_nats: float = critical_nll_nats()
    sharpness: float = 10.0
    decay_tokens: float = 20.0
    window_tokens: float = 50.0
    floor: float = 0.01
    patience: int = 3
    growth: float = 0.5
    max_expansion: float = 4.0
    epsilon: float = 0.01
    state_by_slot: bool = False
    skip_last_tokens: int = 0

    def __call__(self, tokens: TokenBatch, state: WeightingState) -> tuple[Tensor, WeightingState]:
        num_records = len(tokens.record_ids)
        length_B = torch.bincount(tokens.record_A, minlength=num_records)
        trained_A = tokens.position_A < length_B[tokens.record_A] - self.skip_last_tokens
        anchors = _first_errors(tokens, ~tokens.is_argmax_A & trained_A)
        keys = [f"slot {slot}" for slot in range(num_records)] if self.state_by_slot else list(tokens.record_ids)
        moved = {key: self._advance(state.get(key), anchor) for key, anchor in zip(keys, anchors, strict=True)}

        device = tokens.nll_A.device
        anchor_A = torch.tensor(anchors, device=device)[tokens.record_A]
        window_A = (
            self.window_tokens * torch.tensor([moved[key]["expansion"] for key in keys], device=device)[tokens.record_A]
        )
        distance_A = tokens.position_A - anchor_A
        decayed_A = torch.exp(-distance_A.clamp_min(0) / self.decay_tokens)
        mask_A = torch.where(distance_A < window_A, decayed_A, self.floor)
        mask_A = torch.where(anchor_A == NO_ERROR, 1.0, mask_A)
        weight_A = torch.sigmoid(self.sharpness * (tokens.nll_A - self.critical_nll_nats)) * mask_A * trained_A
        return weight_A.to(torch.float32), {**state, **moved}

    def _advance(self, before: Mapping[str, float] | None, anchor: float) -> dict[str, float]:
        """One record's state after a step that found its first error at ``anchor``."""
        if before is None or before["anchor"] != anchor:
            return {"anchor": anchor, "steps": 0.0, "expansion": 1.0}
        steps = before["steps"] + 1
        grown = before["expansion"] + self.growth if steps >= self.patience else before["expansion"]
        return {"anchor": anchor, "steps": steps, "expansion": min(grown, self.max_expansion)}


def _first_errors(tokens: TokenBatch, wrong_A: Tensor) -> list[float]:
    """Position of each record's first wrong answer token; `NO_ERROR` where there is none."""
    none = torch.iinfo(torch.int64).max
    position_A = torch.where(wrong_A, tokens.position_A, none)
    first_B = torch.full((len(tokens.record_ids),), none, dtype=torch.int64, device=position_A.device)
    first_B = first_B.scatter_reduce(0, tokens.record_A, position_A, reduce="amin")
    return [NO_ERROR if first == none else float(first) for first in map(int, first_B.cpu())]
