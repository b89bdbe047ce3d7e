"""What the base model expects before anything is learnt: the loss there is to lose.

Tensor names: A packed answer tokens, N records.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from byheart.learning.activations import PREFIX_BATCH_TOKENS, ActivationCache
from byheart.learning.loss import token_losses
from byheart.memory.batch import collate
from byheart.memory.buckets import by_length
from byheart.memory.encode import EncodedMemory
from byheart.model.split import SplitModel


@torch.no_grad()
def losses_before(
    split_model: SplitModel,
    memory: EncodedMemory,
    activations: ActivationCache,
    advance: Callable[[int], None] = lambda _: None,
) -> torch.Tensor:
    """Sum of each record's answer losses under the base model alone.

    Returns:
        nll_N: nats, fp32, on the CPU.
    """
    nll_N = torch.zeros(len(memory))
    device = split_model.model.device
    for indices in by_length([record.num_tokens for record in memory.records], PREFIX_BATCH_TOKENS):
        batch = collate([memory.records[i] for i in indices], memory.pad_id)
        final_BTD = split_model.suffix(activations.batch(indices, device))
        final_AD = final_BTD[batch.predicting_BT.to(device)]
        nll_A, _ = token_losses(split_model.head, final_AD, batch.target_A.to(device))
        nll_N[indices] = torch.zeros(len(indices)).index_add(0, batch.record_A, nll_A.cpu())
        advance(len(indices))
    return nll_N
