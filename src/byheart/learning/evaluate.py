"""How well each record is known, from cached activations and without gradients: before learning, the loss there is to
lose; while learning, a cheap look before the full pass that decides.

Tensor names: A packed answer tokens, N records.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from byheart.learning.activations import PREFIX_BATCH_TOKENS, ActivationCache
from byheart.learning.loss import token_losses
from byheart.memory.batch import collate
from byheart.memory.buckets import by_length
from byheart.memory.encode import EncodedMemory
from byheart.model.split import SplitModel


@dataclass(frozen=True, slots=True)
class RecordLosses:
    """Losses of each record's answer tokens, nats, fp32, on the CPU.

    Attributes:
        sum_N: over the record's tokens.
        worst_N: of its least probable token.
    """

    sum_N: Tensor
    worst_N: Tensor


@torch.no_grad()
def record_losses(
    split_model: SplitModel,
    memory: EncodedMemory,
    activations: ActivationCache,
    advance: Callable[[int], None] = lambda _: None,
) -> RecordLosses:
    """The losses of every record under the model as it stands: with an adapter where the caller has attached one.

    Args:
        split_model: cut at or below the adapter's lowest layer.
        memory: the records.
        activations: ``split_model.prefix`` of every record.
        advance: told the number of records after each batch.
    """
    sum_N, worst_N = torch.zeros(len(memory)), torch.zeros(len(memory))
    device = split_model.model.device
    for indices in by_length([record.num_tokens for record in memory.records], PREFIX_BATCH_TOKENS):
        batch = collate([memory.records[i] for i in indices], memory.pad_id)
        final_BTD = split_model.suffix(activations.batch(indices, device))
        final_AD = final_BTD[batch.predicting_BT.to(device)]
        nll_A = token_losses(split_model.head, final_AD, batch.target_A.to(device))[0].cpu()
        none_B = torch.zeros(len(indices))
        sum_N[indices] = none_B.index_add(0, batch.record_A, nll_A)
        worst_N[indices] = none_B.scatter_reduce(0, batch.record_A, nll_A, reduce="amax")
        advance(len(indices))
    return RecordLosses(sum_N, worst_N)
