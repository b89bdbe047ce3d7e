"""One optimizer step: batches of cached activations through the suffix, weighed answer tokens, AdamW on fp32 master
weights.

    hidden_BTD → suffix → final_AD → head → nll_A → weighting → objective → gradient → clip → AdamW

A batch that would take more memory than it may runs in several passes, whose gradients add up to the batch's own.

Tensor names: B records of a batch, T positions, A packed answer tokens, W of them those with weight, D hidden.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from byheart.errors import DivergedError
from byheart.learning.activations import ActivationCache
from byheart.learning.config import LearnConfig
from byheart.learning.footprint import Footprint
from byheart.learning.fused import fused_losses
from byheart.learning.loss import by_record, token_losses
from byheart.learning.rate import starting_rate
from byheart.learning.shortlist import Shortlist, Vocabulary
from byheart.method.weighting import TokenBatch, TokenWeighting, WeightingState, objective
from byheart.model.adapter import Adapter, attached
from byheart.model.split import SplitModel

_SHRINKING = 16
"""What a batch's sum of losses is divided by while its gradient is taken. Divided by their number, that of a token in a
large batch would be too small for fp16; undivided, the sum of thousands might be too large."""
_FEW = 0.25
"""Share of a batch's tokens with weight, below which their losses are taken once more, for their gradient alone. A step
of ten phone numbers on one thread is 1.02 to 1.05 times as fast with a fifth of the tokens, 1.03 to 1.09 with a
twentieth, 0.95 to 1.00 with a third."""


@dataclass(frozen=True, slots=True)
class BatchOutcome:
    """What one batch showed, measured before the step that follows it.

    Attributes:
        indices: the batch's records, as indices into the memory.
        objective: nats.
        nll_A: loss of each answer token in nats, fp32, on the CPU.
        weight_A: how much each counted, fp32, on the CPU.
        worst_nll_B: largest loss of each record's answer tokens, nats.
        num_stubborn_B: of each record's answer tokens those at or below p = 0.5, int64.
    """

    indices: Sequence[int]
    objective: float
    nll_A: Tensor
    weight_A: Tensor
    worst_nll_B: Tensor
    num_stubborn_B: Tensor

    @property
    def has_weight(self) -> bool:
        """Whether any token counted."""
        return bool(self.weight_A.any())


class Stepper:
    """Takes optimizer steps on an adapter, which is attached to the model for the length of each step.

    Args:
        split_model: cut at or below the adapter's lowest layer.
        adapter: fp32 master weights, changed in place.
        activations: ``split_model.prefix`` of every record.
        weighting: how much each answer token counts.
        config: batch, clipping and AdamW.
        vocabulary: the words to draw each step's shortlist from; None: the softmax is taken over all words.
        footprint: what a pass takes, by which a batch is cut to ``config.step_memory_bytes``; None: no batch is cut.
    """

    def __init__(
        self,
        split_model: SplitModel,
        adapter: Adapter,
        activations: ActivationCache,
        weighting: TokenWeighting,
        config: LearnConfig,
        vocabulary: Vocabulary | None = None,
        footprint: Footprint | None = None,
    ) -> None:
        self.footprint = footprint
        # A shortlist's logits are few: there is nothing to fuse.
        self.fused_losses = fused_losses(split_model) if config.fused_loss and vocabulary is None else None
        self.split_model, self.adapter, self.activations = split_model, adapter, activations
        self.memory = activations.memory
        self.weighting, self.config, self.vocabulary = weighting, config, vocabulary
        self.kept_share = config.kept_share(len(self.memory))
        self.starting_rate = starting_rate(config, adapter.placement, len(self.memory))
        self.parameters = list(adapter.parameters())
        self.device = self.parameters[0].device
        self.optimizer = torch.optim.AdamW(
            self.parameters,
            lr=self.starting_rate,
            betas=config.betas,
            weight_decay=config.weight_decay,
            fused=self.device.type in ("cpu", "cuda"),
        )

    def step(
        self, indices: Sequence[int], learning_rate: float, state: WeightingState, seed: int
    ) -> tuple[list[BatchOutcome], WeightingState]:
        """One optimizer step over some records, in batches; none is taken where no token has a weight.

        Args:
            indices: the step's records.
            learning_rate: of this step.
            state: the weighting's.
            seed: of the adapter's dropout and the shortlist, so that a resumed run draws what an unbroken one draws.

        Raises:
            DivergedError: a loss or the gradient is not finite; no step is taken.
        """
        if self.adapter.placement.lora_dropout:
            torch.manual_seed(seed)
        size = self.config.batch_size
        batches = [indices[start : start + size] for start in range(0, len(indices), size)]
        outcomes: list[BatchOutcome] = []
        shortlist = self.vocabulary.draw(seed) if self.vocabulary is not None else None
        with attached(self.split_model.model, self.adapter):
            for batch in batches:
                outcome, state = self._forward_backward(batch, state, 1 / len(batches), shortlist)
                outcomes.append(outcome)
        if any(parameter.grad is not None for parameter in self.parameters):
            norm = torch.nn.utils.clip_grad_norm_(self.parameters, self.config.clip_norm)
            if not torch.isfinite(norm):
                raise self._diverged("the gradient's norm")
            self.optimizer.param_groups[0]["lr"] = learning_rate
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
        self._average()
        return outcomes, state

    def learnt(self) -> Adapter:
        """A copy of the adapter with the running mean of its weights: what is looked at, certified and saved."""
        copy = self.adapter.rounded(torch.float32)
        means = [self.optimizer.state.get(parameter, {}).get("mean") for parameter in self.parameters]
        with torch.no_grad():
            for weight, mean in zip(copy.parameters(), means, strict=True):
                if mean is not None:
                    weight.copy_(mean)
        return copy

    def _average(self) -> None:
        """Takes the weights into their running mean, which lives beside AdamW's moments; after a call without a step
        too, or the mean would never come to where the weights have stopped.
        """
        if not self.kept_share:
            return
        means, weights = [], []
        for parameter in self.parameters:
            if moments := self.optimizer.state.get(parameter):
                if "mean" not in moments:
                    moments["mean"] = parameter.detach().clone()
                means.append(moments["mean"])
                weights.append(parameter.detach())
        if means:
            # All weights in one launch, as torch's own optimizers do it.
            torch._foreach_lerp_(means, weights, 1 - self.kept_share)  # pyright: ignore[reportPrivateImportUsage]

    def _forward_backward(
        self, indices: Sequence[int], state: WeightingState, share_of_step: float, shortlist: Shortlist | None
    ) -> tuple[BatchOutcome, WeightingState]:
        """Adds a batch's gradient, as large as its share of the step."""
        passes = [indices]
        if self.footprint is not None:
            passes = self.footprint.passes(indices, self.config.step_memory_bytes)
        # A mean over many tokens gives each a gradient too small for fp16, so that what is divided by comes afterwards.
        if len(passes) == 1 and self.split_model.model.dtype != torch.float16:
            nll_A, weight_A, seen, state = self._forward(indices, state, shortlist)
            value = objective(nll_A, weight_A, self.weighting.epsilon)
            if seen.has_weight:
                (value * share_of_step).backward()
            return replace(seen, objective=float(objective(seen.nll_A, seen.weight_A, self.weighting.epsilon))), state
        before = [parameter.grad for parameter in self.parameters]
        self.optimizer.zero_grad(set_to_none=True)
        all_seen: list[BatchOutcome] = []
        total, weighted = 0.0, 0.0
        for part in passes:
            nll_A, weight_A, seen, state = self._forward(part, state, shortlist)
            value = (weight_A * nll_A).sum() / _SHRINKING
            if seen.has_weight:
                value.backward()
            all_seen.append(seen)
            total = total + float(seen.weight_A.sum())
            weighted = weighted + float((seen.weight_A * seen.nll_A).sum())
        # What `objective` divides by, known only now.
        divisor = total + self.weighting.epsilon or 1.0
        for parameter, grad in zip(self.parameters, before, strict=True):
            if parameter.grad is not None:
                parameter.grad.mul_(_SHRINKING / divisor * share_of_step)
                if grad is not None:
                    parameter.grad.add_(grad)
            else:
                parameter.grad = grad
        return BatchOutcome(
            indices,
            weighted / divisor,
            torch.cat([seen.nll_A for seen in all_seen]),
            torch.cat([seen.weight_A for seen in all_seen]),
            torch.cat([seen.worst_nll_B for seen in all_seen]),
            torch.cat([seen.num_stubborn_B for seen in all_seen]),
        ), state

    def _forward(
        self, indices: Sequence[int], state: WeightingState, shortlist: Shortlist | None
    ) -> tuple[Tensor, Tensor, BatchOutcome, WeightingState]:
        """Losses with their gradient and weights, of all tokens or, where few have any weight, of those alone; what the
        records showed (no objective yet); the weighting's state.
        """
        batch, hidden = self.activations.batch(indices)
        final_AD = self.split_model.suffix(hidden, batch.predicting_A)
        if self.fused_losses is not None:
            nll_A, is_argmax_A = self.fused_losses(final_AD, batch.target_A)
        else:
            nll_A, is_argmax_A = token_losses(self.split_model.head, final_AD, batch.target_A, shortlist=shortlist)
        tokens = TokenBatch(
            nll_A=nll_A.detach(),
            is_argmax_A=is_argmax_A,
            record_A=batch.record_A,
            position_A=batch.position_A,
            record_ids=batch.record_ids,
        )
        weight_A, state = self.weighting(tokens, state)
        # All at once, so that a card is waited for once.
        record_A = batch.record_A.to(tokens.nll_A.dtype)  # exact: a batch has fewer records than fp32 whole numbers
        seen_A, seen_weight_A, seen_record_A = torch.stack([tokens.nll_A, weight_A.detach(), record_A]).cpu()
        if not torch.isfinite(seen_A).all():
            raise self._diverged("a token's loss")
        worst_nll_B, num_stubborn_B = by_record(seen_A, seen_record_A.long(), len(indices))
        seen = BatchOutcome(indices, math.nan, seen_A, seen_weight_A, worst_nll_B, num_stubborn_B)
        heavy_W = seen_weight_A.nonzero().squeeze(1)
        if not len(heavy_W):
            return nll_A.detach(), weight_A, seen, state  # nothing is kept for a gradient that nobody takes
        if shortlist is None and self.fused_losses is None and len(heavy_W) < _FEW * len(seen_A):
            # Over the whole vocabulary a gradient costs more than a loss: only tokens that count have one.
            heavy_W = heavy_W.to(self.device)
            del nll_A  # and the logits behind it
            nll_W, _ = token_losses(self.split_model.head, final_AD[heavy_W], batch.target_A[heavy_W])
            return nll_W, weight_A[heavy_W], seen, state
        return nll_A, weight_A, seen, state

    def _diverged(self, what: str) -> DivergedError:
        return DivergedError(
            f"training diverged: {what} is not a finite number; learning_rate {self.starting_rate:g} is too "
            "high: set a lower one, such as a tenth, and begin anew (or give model.dtype: float32 if it is float16)"
        )
