"""Settings of the engine."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from byheart.settings import Settings


class LearnConfig(Settings):
    """How the adapter is trained. What is None is chosen from the placement and the memory."""

    epochs: int = Field(default=60, ge=1)
    """The budget: visits of the chosen records; learning stops earlier once everything is certified."""
    batch_size: int = Field(default=10, ge=1)
    """Records a forward pass."""
    accumulation: int = Field(default=1, ge=1)
    """Forward passes an optimizer step."""
    learning_rate: float = Field(default=5e-3, gt=0)
    """At the start of the run."""
    decay: Literal["linear", "constant"] = "linear"
    """linear: falls to zero at the end of the budget. Recall comes when the rate has fallen."""
    clip_norm: float = Field(default=1.0, gt=0)
    """Largest norm of the gradient; beyond it the gradient is scaled down."""
    weight_decay: float = Field(default=0.0, ge=0)
    """AdamW's."""
    betas: tuple[float, float] = (0.9, 0.999)
    """AdamW's."""
    plateau_epochs: int | None = Field(default=None, ge=1)
    """Stop after this many epochs without a new minimum of stubborn tokens; None: only the budget counts."""
    checkpoint_seconds: float = Field(default=20.0, ge=0)
    """Time between checkpoints; they change nothing in the result."""
    activation_memory_bytes: int = Field(default=2 * 1024**3, ge=0)
    """Cached activations beyond this live in a memory-mapped file in the output directory."""
