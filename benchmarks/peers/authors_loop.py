"""The loop of the paper's authors for PhoneBook, written anew in plain torch; the settings are those for 1,000 answer
tokens.

One layer's MLP gets a bypass, block(x) + (x A) B. The loss is MemFT-OT's, with plain SFT for a batch in which no token
is below the threshold; AdamW without weight decay, the rate falling linearly to 0 over 200 epochs, batch 4, gradient
clip 1, dropout 0.1. Every step takes logits at all positions, and a second forward pass without the bypass, for the
loss there was before. The layer is theirs at the same depth: 24 of 36 becomes 20 of 30. The weights are kept in fp32
and multiplied in bf16; the rank is byheart's.

Tensor names: B records, T positions, V vocabulary, D hidden, R rank.
"""

from __future__ import annotations

import math
import random
from typing import Any

from peers.race import Race

LABEL = "the authors' loop"
SETTINGS: dict[str, Any] = {
    "lora_rank": 16,
    "learning_rate": 1e-2,
    "epochs": 200,
    "batch_size": 4,
    "depth": 24 / 36,
    "dropout": 0.1,
}
GRID: list[dict[str, Any]] = []
EPSILON = 0.01


def run(race: Race) -> None:
    """Trains until the race or the 200 epochs end."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    _, base, encoded = race.load()
    settings, model = race.job.settings, base.model
    rank, num_hidden = settings["lora_rank"], model.config.hidden_size
    A_DR = nn.Parameter(torch.empty(num_hidden, rank, device=base.device))
    B_RD = nn.Parameter(torch.zeros(rank, num_hidden, device=base.device))
    nn.init.kaiming_uniform_(A_DR, a=math.sqrt(5))
    is_learning, is_on = True, True

    def bypass(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
        if not is_on:
            return output
        x_BTD = F.dropout(inputs[0], settings["dropout"], training=is_learning)
        return output + x_BTD @ A_DR.to(x_BTD.dtype) @ B_RD.to(x_BTD.dtype)

    def losses(records: list[Any]) -> torch.Tensor:
        """The loss of every answer token, nats."""
        tokens_BT, mask_BT, labels_BT = (each.to(base.device) for each in _batch(records, encoded.pad_id))
        logits_BTV = model(input_ids=tokens_BT, attention_mask=mask_BT, use_cache=False).logits[:, :-1]
        targets_BT = labels_BT[:, 1:]
        nll_BT = F.cross_entropy(logits_BTV.float().transpose(1, 2), targets_BT, reduction="none", ignore_index=-100)
        return nll_BT[targets_BT != -100]

    layer = model.get_decoder().layers[int(settings["depth"] * model.config.num_hidden_layers)]
    layer.mlp.register_forward_hook(bypass)
    optimizer = torch.optim.AdamW([A_DR, B_RD], lr=settings["learning_rate"], weight_decay=0.0)
    batches_an_epoch = math.ceil(len(encoded) / settings["batch_size"])
    num_steps = settings["epochs"] * batches_an_epoch
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / num_steps)
    order, generator = list(encoded.records), random.Random(race.job.seed)

    race.begin(num_parameters=A_DR.numel() + B_RD.numel(), lora_rank=rank)
    for _ in range(settings["epochs"]):
        generator.shuffle(order)
        total, drop = torch.zeros((), device=base.device), torch.zeros((), device=base.device)
        for at in range(0, len(order), settings["batch_size"]):
            records = order[at : at + settings["batch_size"]]
            nll_A = losses(records)
            is_on = False
            with torch.no_grad():
                before_A = losses(records)
            is_on = True
            active_A = (nll_A.detach() > math.log(2)).float()
            weighted = (active_A * nll_A).sum() / (active_A.sum() + EPSILON)
            (weighted if active_A.any() else nll_A.mean()).backward()
            nn.utils.clip_grad_norm_([A_DR, B_RD], 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad(set_to_none=True)
            total += nll_A.detach().mean() / batches_an_epoch
            drop += (before_A - nll_A.detach()).mean() / batches_an_epoch
        is_learning = False
        race.outcome.notes["nll_drop_nats"] = float(drop)
        if race.epoch_ended(model, float(total)):
            return
        model.eval()  # the authors train with the base in eval mode
        is_learning = True


def _batch(records: list[Any], pad_id: int) -> tuple[Any, Any, Any]:
    """Token ids, attention mask, and labels: −100 wherever no answer token stands."""
    import torch

    shape = (len(records), max(record.num_tokens for record in records))
    tokens_BT, mask_BT, labels_BT = torch.full(shape, pad_id), torch.zeros(shape), torch.full(shape, -100)
    for row, record in enumerate(records):
        tokens_BT[row, : record.num_tokens] = torch.tensor(record.prompt_ids + record.answer_ids)
        mask_BT[row, : record.num_tokens] = 1
        labels_BT[row, len(record.prompt_ids) : record.num_tokens] = torch.tensor(record.answer_ids)
    return tokens_BT, mask_BT, labels_BT
