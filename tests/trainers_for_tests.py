"""What trainers make of records, and what a loss that they call should have come to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from byheart.integrations import MemFTLoss
from byheart.integrations.record_keys import IGNORED
from byheart.memory.encode import EncodedRecord
from byheart.method.weighting import critical_nll_nats
from oracles import weightings


def collated(records: Sequence[EncodedRecord]) -> dict[str, Tensor]:
    """What a trainer's collator makes of some records: padded on the right, loss on the answers only."""

    def padded(rows: list[list[int]], value: int) -> Tensor:
        return pad_sequence([torch.tensor(row) for row in rows], batch_first=True, padding_value=value)

    tokens = [list(record.prompt_ids + record.answer_ids) for record in records]
    labels = [[IGNORED] * len(record.prompt_ids) + list(record.answer_ids) for record in records]
    return {
        "input_ids": padded(tokens, 0),
        "attention_mask": padded([[1] * len(row) for row in tokens], 0),
        "labels": padded(labels, IGNORED),
    }


class Watched(MemFTLoss):
    """A loss that keeps what a trainer gave it and what it gave back, while training."""

    def __init__(self, method: str) -> None:
        super().__init__(method)
        self.calls: list[Call] = []

    def __call__(self, outputs: Any, labels: Tensor | None, num_items_in_batch: Any = None) -> Tensor:
        assert labels is not None
        logits_BTV, labels_BT = outputs.logits.detach().float(), labels.clone()
        value = super().__call__(outputs, labels, num_items_in_batch)
        if torch.is_grad_enabled():
            self.calls.append(Call(logits_BTV, labels_BT, float(num_items_in_batch), value.item()))
        return value


@dataclass(frozen=True)
class Call:
    """One forward pass of a trainer, as its loss saw it; a row's first label is its key, where it has one."""

    logits_BTV: Tensor
    labels_BT: Tensor
    num_items: float
    value: float

    @property
    def num_tokens(self) -> int:
        """Of this pass, trained on."""
        return int((self.labels_BT[:, 1:] != IGNORED).sum())


def expected_values(loss: Watched) -> list[float]:
    """What each pass should have come to: the slow weightings, a pass counted by its share of the step's tokens."""
    remembered: dict[str, weightings.WindowMemory] = {}
    critical = critical_nll_nats(loss.config.margin)
    values: list[float] = []
    for call in loss.calls:
        nll: list[list[float]] = []
        errors: list[list[bool]] = []
        for logits_TV, labels_T in zip(call.logits_BTV, call.labels_BT, strict=True):
            trained = [at for at in range(1, len(labels_T)) if labels_T[at] != IGNORED]
            log_p = torch.log_softmax(logits_TV, -1)
            nll.append([-log_p[at - 1, labels_T[at]].item() for at in trained])
            errors.append([int(logits_TV[at - 1].argmax()) != int(labels_T[at]) for at in trained])
        keys = [str(int(key)) for key in call.labels_BT[:, 0]]
        weights = {
            "sft": lambda nll=nll: weightings.sft(nll),
            "memft-ot": lambda nll=nll: weightings.memft_ot(nll, critical),
            "memft-sw": lambda nll=nll, errors=errors, keys=keys: weightings.memft_sw(
                nll, errors, keys, remembered, critical_nll=critical
            ),
        }[loss.config.name]()
        epsilon = 0.0 if loss.config.name == "sft" else loss.config.epsilon
        objective = weightings.objective([*chain(*nll)], [*chain(*weights)], epsilon)
        values.append(objective * call.num_tokens / call.num_items)
    return values
