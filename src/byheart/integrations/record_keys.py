"""Which record a row of a trainer's batch is, carried to the loss in the one label that no causal model is trained on.

A trainer hands its loss the model's output and the labels, and nothing else of the batch. Labels are shifted: the
logits at a position predict the label to its right, so a row's first label is never predicted, counted or scored. There
the row's key travels: a hash of the row's own token ids, padding left out. It needs no column in the dataset, which
trainers drop, and is the same in every worker, epoch and process; two rows of the same ids are the same record.

Tensor names: B rows, T positions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from byheart.errors import SettingsError

IGNORED = -100
"""The label of a position that is not trained on."""
_FIRST_KEY = 2**62
"""Keys are above every token id, so that a label which is one is known from one which is none."""


def record_key(token_ids: Sequence[int]) -> str:
    """The name under which a loss keeps the state of the record with these token ids, prompt and answer together.

    >>> record_key([1, 2, 3]) == record_key((1, 2, 3)) != record_key([1, 2])
    True
    """
    return _name(_key(token_ids))


def _key(token_ids: Sequence[int]) -> int:
    text = ",".join(map(str, token_ids))
    return _FIRST_KEY | int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) >> 2


def _name(key: int) -> str:
    return f"{key - _FIRST_KEY:016x}"


class KeyedCollator:
    """A trainer's collator that also writes each row's key into the row's first label.

    Args:
        collator: the trainer's own: examples → a mapping with ``input_ids``, ``attention_mask`` and ``labels``.
    """

    def __init__(self, collator: Callable[[Any], Mapping[str, Any]]) -> None:
        self.collator = collator

    def __call__(self, examples: Any) -> dict[str, Any]:
        """The collator's batch, with keys.

        Raises:
            SettingsError: rows of the batch cannot be told to be one record each.
        """
        batch = dict(self.collator(examples))
        if missing := [name for name in ("input_ids", "labels", "attention_mask") if batch.get(name) is None]:
            raise SettingsError(
                f"the collator {type(self.collator).__name__} gives no {', '.join(missing)}, by which rows are told to "
                "be one record each; choose another collator, give packing=False and padding_free=False, or take "
                "memft-ot, which needs to know no records"
            )
        mask_BT = batch["attention_mask"].bool()
        if mask_BT.dim() != 2 or not bool(mask_BT.any(1).all()):
            raise SettingsError("attention_mask must be of rows and positions, with a token in every row")
        rows = zip(batch["input_ids"], mask_BT, strict=True)
        keys = [_key(row_T[mask_T].tolist()) for row_T, mask_T in rows]
        labels_BT = batch["labels"].to(torch.int64, copy=True)
        labels_BT[:, 0] = torch.tensor(keys, device=labels_BT.device)
        return {**batch, "labels": labels_BT}


def take_keys(labels_BT: Tensor) -> tuple[str, ...] | None:
    """Takes the keys out of a batch's labels, so that whoever reads the labels next finds none.

    Args:
        labels_BT: int64; the first label of every row becomes `IGNORED` where it was a key.

    Returns:
        The rows' keys; None where there are none.
    """
    first_B = labels_BT[:, 0]
    if not len(first_B) or not bool((first_B >= _FIRST_KEY).all()):
        return None
    keys = tuple(_name(key) for key in first_B.tolist())
    labels_BT[:, 0] = IGNORED
    return keys
