"""Settings of the engine."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from byheart.settings import Settings

DEFAULT_EPOCHS = 60
DEFAULT_STEPS = 600

Beta = Annotated[float, Field(gt=0, lt=1)]


class LearnConfig(Settings):
    """How the adapter is trained. What is None is chosen from the placement and the memory."""

    epochs: int | None = Field(default=None, ge=1)
    """The budget: visits of the chosen records; learning stops earlier once everything is certified. None: 60, and
    more for a memory so small that this would be fewer than 600 steps."""
    batch_size: int = Field(default=10, ge=1)
    """Records a forward pass."""
    accumulation: int = Field(default=1, ge=1)
    """Forward passes an optimizer step."""
    learning_rate: float = Field(default=4e-3, gt=0)
    """At the start of the run."""
    decay: Literal["linear", "constant"] = "linear"
    """linear: falls over ``decay_share`` of the budget to ``floor_share`` of the rate. Recall comes once it is low."""
    decay_share: float = Field(default=0.5, gt=0, le=1)
    """Share of the budget over which the rate falls; the rest is for stragglers. The paper's scripts have 1."""
    floor_share: float = Field(default=0.1, ge=0, le=1)
    """What the rate falls to, as a share of where it started. The paper's scripts have 0."""
    clip_norm: float = Field(default=1.0, gt=0)
    """Largest norm of the gradient; beyond it the gradient is scaled down."""
    weight_decay: float = Field(default=0.0, ge=0)
    """AdamW's."""
    betas: tuple[Beta, Beta] = (0.9, 0.98)
    """AdamW's, between 0 and 1. The paper's scripts have 0.9 and 0.999."""
    plateau_epochs: int | None = Field(default=None, ge=1)
    """Stop after this many epochs without a new minimum of stubborn tokens (at or below p = 0.5), counted over the
    epochs that visit all records. None: half of the budget, over which the rate has fallen with the defaults."""
    shortlist: bool = True
    """Whether steps take the softmax over the likely words and a sample of the others, where that saves work; what
    counts as learnt is always measured over the whole vocabulary. false: over the whole vocabulary in every step."""
    checkpoint_seconds: float = Field(default=20.0, ge=0)
    """Time between checkpoints; they change nothing in the result."""
    activation_memory_bytes: int = Field(default=2 * 1024**3, ge=0)
    """Cached activations beyond this live in a memory-mapped file in the output directory."""

    def num_epochs(self, num_records: int) -> int:
        """The budget in epochs for a memory of ``num_records``."""
        if self.epochs is not None:
            return self.epochs
        steps_per_epoch = -(-num_records // (self.batch_size * self.accumulation))
        return max(DEFAULT_EPOCHS, -(-DEFAULT_STEPS // steps_per_epoch))

    def patience(self, num_epochs: int) -> int:
        """Epochs without progress after which a run of ``num_epochs`` stops."""
        return self.plateau_epochs or -(-num_epochs // 2)
