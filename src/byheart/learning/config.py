"""Settings of the engine."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from byheart.settings import Settings

DEFAULT_EPOCHS = 100
DEFAULT_STEPS = 600
DEFAULT_AVERAGING = 0.9
UNHURRIED_STEPS = 30
"""Steps a pass up to which each counts in full; see `LearnConfig.pace`."""
ENGINE_VERSION = 2
"""Raised when the same settings and records are learnt in another way, by more than rounding: a calibration is of one,
and so is a run. 1: a budget is counted in visits, so that a run in which records rest has more epochs. 2: memories of
more than 30 steps a pass begin with a lower rate and have a longer mean of the weights."""

Beta = Annotated[float, Field(gt=0, lt=1)]
TrackerName = Literal["trackio", "tensorboard", "wandb", "mlflow"]


class LearnConfig(Settings):
    """How the adapter is trained. What is None is chosen from the placement and the memory."""

    epochs: int | None = Field(default=None, ge=1)
    """The budget: as many visits of records as that many epochs of all of them make. An epoch in which some rest spends
    less of it, so that there can be more; learning stops earlier once everything is certified. None: 100, and more for
    a memory so small that these would be fewer than 600 steps."""
    batch_size: int = Field(default=10, ge=1)
    """Records a batch, over which the objective is taken; by ``step_memory_bytes`` one may run in several passes."""
    accumulation: int = Field(default=1, ge=1)
    """Batches an optimizer step."""
    learning_rate: float | None = Field(default=None, gt=0)
    """At the start of the run. None: by the placement and the memory, see `byheart.learning.rate.starting_rate`."""
    decay: Literal["remaining", "linear", "constant"] = "remaining"
    """remaining: falls with what is left to learn, by the root of the share of answer tokens that are not above p = 0.5
    yet. linear: with the records visited, over ``decay_share`` of the budget. Both to ``floor_share`` of the rate; see
    `byheart.learning.rate`. Recall comes once it is low."""
    decay_share: float | None = Field(default=None, gt=0, le=1)
    """Share of the budget over which a linear rate falls; the rest is for stragglers. None: half. The paper's scripts
    have 1."""
    floor_share: float = Field(default=0.1, ge=0, le=1)
    """What the rate falls to, as a share of where it started. The paper's scripts have 0."""
    clip_norm: float = Field(default=1.0, gt=0)
    """Largest norm of the gradient; beyond it the gradient is scaled down."""
    weight_decay: float = Field(default=0.0, ge=0)
    """AdamW's."""
    betas: tuple[Beta, Beta] = (0.9, 0.98)
    """AdamW's, between 0 and 1. The paper's scripts have 0.9 and 0.999."""
    averaging: float | None = Field(default=None, ge=0, lt=1)
    """Share that each step keeps of the running mean of the weights. The mean is what is looked at, certified and
    saved: single steps push known tokens about, their mean does not. None: 0.9, or what comes to that over a thirtieth
    of a pass where a pass has more than 30 steps. 0: the weights themselves, as in the paper."""
    plateau_epochs: int | None = Field(default=None, ge=1)
    """Stop after as many visits as this many epochs of all records make without a new minimum of stubborn tokens (at or
    below p = 0.5 when last seen), counted once every record has been seen. None: half of the budget."""
    keep: Literal["best", "last"] = "best"
    """What a run that is not certified at its end leaves. best: of all epochs, the one with the fewest stubborn tokens.
    last: where training came to rest, as the paper's scripts do. The law needs it: weights chosen by a count of tokens
    have a higher mean loss."""
    initial: Literal["principal", "random"] = "principal"
    """A's first weights: principal, the directions in which the records' activations differ; random, Kaiming-uniform as
    PEFT draws them. B is zero either way."""
    max_growths: int = Field(default=3, ge=0)
    """How often an adapter with ``lora_rank: auto`` may grow: at a plateau, or at the end of its budget, with records
    still uncertified, it gets twice the rank and another budget; see `byheart.learning.growth`. One whose rank is a
    number never grows."""
    growth_rate_share: float = Field(default=0.5, gt=0, le=1)
    """What the rate begins with after a growth, as a share of where it would begin with the larger rank."""
    shortlist: bool = True
    """Whether steps take the softmax over the likely words and a sample of the others, where that saves work; what
    counts as learnt is always measured over the whole vocabulary. false: over the whole vocabulary in every step."""
    fused_loss: bool = True
    """Whether steps over the whole vocabulary take their losses from liger-kernel where it is installed (extra
    ``cuda``), there is a GPU, and it gives the model's own; see `byheart.learning.fused`."""
    checkpoint_seconds: float = Field(default=20.0, ge=0)
    """Time between checkpoints, or nine times what one took to write where that is longer; 0: after every step. They
    change nothing in the result."""
    activation_memory_bytes: int = Field(default=2 * 1024**3, ge=0)
    """Cached activations beyond this live in a memory-mapped file in the output directory; within it they are in
    memory, a GPU's own where that learns."""
    report_to: tuple[TrackerName, ...] = ()
    """Experiment trackers that are told every epoch's numbers and the settings, never what the records hold: one name
    or several. They change nothing in the result. None by default."""
    step_memory_bytes: int | None = Field(default=4 * 1024**3, ge=1)
    """What a step may take beside the model and the adapter: a batch that would take more runs in several passes, with
    the same gradient; see `byheart.learning.footprint`. A single record is never cut. None: no bound."""

    @field_validator("report_to", mode="before")
    @classmethod
    def _several(cls, value: object) -> object:
        """A single name stands for itself."""
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_fall(self) -> Self:
        if self.decay_share is not None and self.decay != "linear":
            raise ValueError(
                f"decay_share {self.decay_share:g} is of a linear rate, and decay is {self.decay}; "
                "give decay: linear, or leave decay_share out"
            )
        if self.decay == "constant" and self.floor_share != type(self).model_fields["floor_share"].default:
            raise ValueError(
                f"floor_share {self.floor_share:g} is of a rate that falls, and decay is constant; "
                "give decay: remaining or linear, or leave floor_share out"
            )
        return self

    def budget_epochs(self, num_records: int) -> int:
        """The budget in epochs of all records, for a memory of ``num_records``."""
        if self.epochs is not None:
            return self.epochs
        return max(DEFAULT_EPOCHS, -(-DEFAULT_STEPS // self.steps_a_pass(num_records)))

    def steps_a_pass(self, num_records: int) -> int:
        """Optimizer steps that visit every one of ``num_records`` once."""
        return -(-num_records // (self.batch_size * self.accumulation))

    def pace(self, num_records: int) -> float:
        """What one step counts for: 1, and less where a pass has more than 30, so that what others push about before a
        record comes again stays as much as in 30. It sets the rate and the mean of the weights where these are left to
        byheart. A pass is one of the whole memory, also where a curriculum shows a part of it.
        """
        return min(1.0, UNHURRIED_STEPS / self.steps_a_pass(num_records))

    def kept_share(self, num_records: int) -> float:
        """Share of the running mean of the weights that each step keeps, in a memory of ``num_records``."""
        return DEFAULT_AVERAGING ** self.pace(num_records) if self.averaging is None else self.averaging

    def patience_epochs(self, budget_epochs: int) -> int:
        """Epochs of all records without progress after which a run of that budget stops."""
        return self.plateau_epochs or -(-budget_epochs // 2)
