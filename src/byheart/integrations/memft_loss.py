"""MemFT's objective as a loss for other people's training loops.

    loss = share · Σ_A weight_A · nll_A / (Σ_A weight_A + epsilon)     share = trained tokens here / of the whole step

Weights, thresholds and windows are those of `byheart.method`; the loss of each token is that of `byheart.learning`.
What this class adds is how a trainer's batch is read (shifted labels, −100 left out) and what an optimizer step over
several batches means. There ``share`` makes the step's loss the mean of its batches' objectives, each counted by its
trained tokens. For sft that is exactly the mean over all tokens of the step, as if it were one batch. For MemFT it is
not quite what one batch would give, since Σ weight is not known before the last batch has been run; it is what
byheart's own loop does with ``learn.accumulation``, but for that loop counting every batch alike. Without accumulation
share is 1.

Tensor names: B rows, T positions, A packed trained tokens, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from byheart.errors import SettingsError, unknown
from byheart.integrations.record_keys import IGNORED, KeyedCollator, take_keys
from byheart.integrations.trainers import refuse_other_losses, refuse_packing
from byheart.learning.loss import token_losses
from byheart.method.config import MethodConfig
from byheart.method.registry import build
from byheart.method.weighting import TokenBatch, WeightingState, objective

METHODS = ("sft", "memft-ot", "memft-sw")
"""The methods that are a weighting of tokens; which records an epoch visits is the trainer's to say."""
_SETTINGS = ("margin", "epsilon", "window", "compat")


class MemFTLoss:
    """A method's loss, for ``compute_loss_func`` of transformers' Trainer and TRL's SFTTrainer.

    Three lines in a script that trains already:

        from byheart import MemFTLoss
        loss = MemFTLoss("memft-ot")
        loss.attach(trainer)

    The model must give logits for every position of the labels, which are shifted here as causal language models shift
    them. The loss of each trained token is computed in fp32, in chunks of tokens whose fp32 logits are not kept. In
    evaluation (without gradients) it is the mean loss of the trained tokens, whatever the method, and no state moves.

    Args:
        method: ``sft``, ``memft-ot`` or ``memft-sw``.
        **settings: of `byheart.method.config.MethodConfig`: ``margin``, ``epsilon``, ``window``, ``compat``.

    Attributes:
        config: the method's settings.
        state: the weighting's, by `record_key`; plain values. Only memft-sw has any: keep it beside a trainer's
            checkpoint, or the windows of a resumed run start anew.

    Raises:
        SettingsError: another method, or a setting that is unknown or none of a loss.

    Example:
        >>> MemFTLoss("memft-ot", margin=0.0).config.name
        'memft-ot'
    """

    def __init__(self, method: str = "memft-ot", **settings: Any) -> None:
        if method == "memft-sw-curriculum":
            raise SettingsError(
                "memft-sw-curriculum decides which records an epoch visits, which here is the trainer's to say; its "
                f"loss is that of memft-ot. Allowed: {', '.join(METHODS)}"
            )
        if method not in METHODS:
            raise SettingsError(unknown("method", method, METHODS))
        if strange := sorted(settings.keys() - set(_SETTINGS)):
            raise SettingsError("\n".join(unknown("setting of a loss", name, _SETTINGS) for name in strange))
        self.config = MethodConfig.parse({"name": method, **settings}, "MemFTLoss")
        self.state: WeightingState = {}
        self._weighting = build(self.config, epochs=1, batch_size=1).weighting

    @property
    def needs_records(self) -> bool:
        """Whether the weighting asks which record a token is of, and where in its answer: a window does."""
        return self.config.name == "memft-sw"

    def attach(self, trainer: Any) -> None:
        """Makes this the loss of a trainer that is ready to train, and where the method needs it makes the trainer's
        collator tell which record each row is.

        Args:
            trainer: transformers' Trainer, or TRL's SFTTrainer.

        Raises:
            SettingsError: the trainer is set to something that this loss would undo in silence, or to pack records that
                the method must tell apart.
        """
        refuse_other_losses(trainer, MemFTLoss)
        if self.needs_records:
            refuse_packing(trainer, self.config.name)
            if not isinstance(trainer.data_collator, KeyedCollator):
                trainer.data_collator = KeyedCollator(trainer.data_collator)
        trainer.compute_loss_func = self

    def __call__(self, outputs: Any, labels: Tensor | None, num_items_in_batch: Tensor | int | None = None) -> Tensor:
        """The loss of one forward pass.

        Args:
            outputs: of a causal language model; its ``logits`` are [B, T, V].
            labels: int64, [B, T]; −100 where nothing is trained.
            num_items_in_batch: trained tokens of the whole optimizer step, over all its batches; None: of this one.

        Returns:
            A scalar in nats, already scaled for gradient accumulation.

        Raises:
            SettingsError: no labels or logits, logits at other positions than the labels', or a method that needs to
                know the records and was not attached to the trainer.
        """
        logits_BTV, labels_BT = _checked(outputs, labels)
        keys = take_keys(labels_BT)
        labels_BT = labels_BT.to(logits_BTV.device)  # of a model over several cards they are where the batch is
        is_trained_BT = labels_BT[:, 1:] != IGNORED
        target_A = labels_BT[:, 1:][is_trained_BT]
        nll_A, is_argmax_A = token_losses(lambda logits_AV: logits_AV, logits_BTV[:, :-1][is_trained_BT], target_A)
        if not torch.is_grad_enabled():
            return nll_A.sum() / max(len(target_A), 1)
        if keys is None and self.needs_records:
            raise SettingsError(
                f"{self.config.name} must know which record a row is; call MemFTLoss.attach(trainer) before training, "
                "or take memft-ot, which needs to know no records"
            )
        tokens = TokenBatch(
            nll_A=nll_A.detach(),
            is_argmax_A=is_argmax_A,
            record_A=is_trained_BT.nonzero()[:, 0],
            position_A=(is_trained_BT.cumsum(1) - 1)[is_trained_BT],
            record_ids=keys or tuple(f"row {row}" for row in range(len(labels_BT))),
        )
        weight_A, self.state = self._weighting(tokens, self.state)
        value = objective(nll_A, weight_A, self._weighting.epsilon)
        if isinstance(num_items_in_batch, Tensor):
            num_items_in_batch = num_items_in_batch.to(value.device)
        return value if num_items_in_batch is None else value * len(target_A) / num_items_in_batch


def _checked(outputs: Any, labels: Tensor | None) -> tuple[Tensor, Tensor]:
    """A batch's logits and labels.

    Raises:
        SettingsError: they are not those of a causal language model.
    """
    if labels is None:
        raise SettingsError("the batch has no labels; MemFTLoss needs them, −100 where nothing is trained")
    logits = outputs.get("logits") if isinstance(outputs, dict) else getattr(outputs, "logits", None)
    if logits is None:
        raise SettingsError("the model gave no logits, as with a fused loss; switch it off (use_liger_kernel=False)")
    if getattr(outputs, "encoder_last_hidden_state", None) is not None:
        raise SettingsError("the model is an encoder-decoder, whose labels are not shifted; MemFTLoss is for decoders")
    if logits.shape[:2] != labels.shape:
        raise SettingsError(
            f"logits of {tuple(logits.shape[:2])} rows and positions do not fit labels of {tuple(labels.shape)}; "
            "MemFTLoss needs logits at every position of the labels and no others (no virtual tokens)"
        )
    return logits, labels
