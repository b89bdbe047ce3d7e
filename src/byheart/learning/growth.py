"""Growth: an adapter that ends at a plateau or with its budget, and records uncertified, gets twice the rank.

A adds rows, drawn at random as PEFT draws its first weights; B adds columns of zeros, so that no logit changes when it
grows (but for the order in which a product of another shape may be summed). What the optimizer knows of the old weights
is kept. Learning begins anew, with another budget, from the best weights so far, or with ``keep: last`` from the last,
and from what a look at them found. All that is random comes from the seed and the number of the growth.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from byheart.learning.best import Best, Kept, Look
from byheart.learning.evaluate import RecordLosses
from byheart.learning.events import Growth
from byheart.learning.footprint import measured
from byheart.learning.state import Progress, load_checkpoint, read_header
from byheart.learning.step import Stepper
from byheart.learning.stopping import StopReason
from byheart.method.schedule import Standing
from byheart.model.adapter import Adapter

LARGEST_RANK = 512
"""What serving engines take at most."""


def next_growth(epoch: int, lora_rank: int) -> Growth | None:
    """What an adapter of ``lora_rank`` grows to at the end of ``epoch``; None where it is at its bound."""
    larger = largest_rank(lora_rank, 1)
    return Growth(epoch, lora_rank, larger) if larger > lora_rank else None


def largest_rank(lora_rank: int, max_growths: int) -> int:
    """What an adapter of ``lora_rank`` may come to.

    >>> largest_rank(16, 3), largest_rank(200, 3)
    (128, 512)
    """
    return max(lora_rank, min(lora_rank * 2**max_growths, LARGEST_RANK))


def sentence(reason: StopReason, growth: Growth, look: Look, num_records: int) -> str:
    """Why and how an adapter grows, for a person."""
    what = "plateau at" if reason == "plateau" else "the budget ends with"
    return (
        f"{what} epoch {growth.epoch}: {look.num_certified_records:,} of {num_records:,} above 0.5; "
        f"the adapter grows from rank {growth.from_rank} to {growth.to_rank}"
    )


def grown(stepper: Stepper, adapter: Adapter, lora_rank: int, seed: int) -> Stepper:
    """A stepper with an adapter of a higher rank that says the same; what is given stays as it is.

    AdamW's moments of the new weights are zero.

    Args:
        stepper: of the smaller adapter.
        adapter: its weights to grow from.
        lora_rank: of the larger one.
        seed: of its further rows of A.
    """
    split_model, activations, footprint = stepper.split_model, stepper.activations, stepper.footprint
    larger_adapter = adapter.grown(lora_rank, seed)
    if footprint is not None:
        # Tokens are charged as before: this run may have admitted words by now that one which resumes admits later.
        now = measured(split_model, larger_adapter, activations, num_words=0)
        footprint = replace(now, token_bytes=footprint.token_bytes)
    larger = Stepper(
        split_model, larger_adapter, activations, stepper.weighting, stepper.config, stepper.vocabulary, footprint
    )
    for mine, theirs in zip(stepper.parameters, larger.parameters, strict=True):
        if moments := stepper.optimizer.state.get(mine):
            larger.optimizer.state[theirs] = {
                "step": moments["step"].clone(),
                "exp_avg": _padded(moments["exp_avg"], theirs),
                "exp_avg_sq": _padded(moments["exp_avg_sq"], theirs),
            }
    return larger


def begun_anew(
    progress: Progress, growth: Growth, stepper: Stepper, losses: RecordLosses, weights_epoch: int
) -> Progress:
    """The progress of a run whose adapter has just grown.

    Args:
        progress: until then, between two epochs.
        growth: the last.
        stepper: with the larger adapter.
        losses: of all records under it.
        weights_epoch: at whose end its weights were reached.
    """
    standing = Standing.unseen(len(losses.worst_N))
    standing.take_in(progress.epoch - 1, slice(None), losses.worst_N, losses.num_stubborn_N)
    return Progress(
        standing,
        epoch=progress.epoch,
        num_steps=progress.num_steps,
        weighting_state=progress.weighting_state,
        admitted=progress.admitted,
        train_seconds=progress.train_seconds,
        best=Best(Kept(weights_epoch, Look.of(losses), stepper.learnt().tensors(torch.float32))),
        growths=[*progress.growths, growth],
        num_stubborn_at_first=int(losses.num_stubborn_N.sum()),
    )


def resumed(path: Path, stepper: Stepper) -> tuple[Stepper, Progress]:
    """The stepper and the progress that a checkpoint holds.

    Args:
        path: of the checkpoint.
        stepper: with the adapter that the run began with; changed, or replaced where that has grown.

    Raises:
        ArtifactError: not a checkpoint, one of another adapter, or one of a newer byheart.
    """
    if growths := read_header(path)["progress"]["growths"]:
        stepper = grown(
            stepper, stepper.adapter, growths[-1]["to_rank"], seed=0
        )  # for its shape; the checkpoint has its weights
    return stepper, load_checkpoint(path, stepper.adapter, stepper.optimizer)


def _padded(moment: Tensor, like: Tensor) -> Tensor:
    """``moment`` in the shape of ``like``, zero where it has nothing to say."""
    padded = torch.zeros_like(like, requires_grad=False)
    padded[: moment.shape[0], : moment.shape[1]] = moment
    return padded
