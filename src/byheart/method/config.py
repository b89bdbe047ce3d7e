"""Settings of the methods."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from byheart.settings import Settings

CERTIFIED_PROBABILITY = 0.5
"""A token above this is the argmax however the rest is shared out: sufficient for greedy recall. The comparison is
strict.
"""

DEFAULT_REST_EPOCHS = 3

PAPER_RATIOS = (0.2, 0.4, 0.6, 0.8, 1.0)
"""Share of the records that each stage of the paper's curriculum shows."""

MethodName = Literal["sft", "memft-ot", "memft-sw", "memft-sw-curriculum"]


class WindowConfig(Settings):
    """The spatial sliding window (MemFT-SW); see `byheart.method.window` for the formula."""

    sharpness: float = Field(default=10.0, gt=0)
    """κ, slope of the soft threshold, 1/nats."""
    decay_tokens: float = Field(default=20.0, gt=0)
    """τ, decay of the mask after the first error, tokens."""
    window_tokens: float = Field(default=50.0, gt=0)
    """Length of the window before it expands, tokens."""
    floor: float = Field(default=0.01, ge=0, le=1)
    """Mask outside the window."""
    patience: int = Field(default=3, ge=1)
    """Steps the first error must have stayed put before the window grows."""
    growth: float = Field(default=0.5, ge=0)
    """Added to the expansion at each such step."""
    max_expansion: float = Field(default=4.0, ge=1)
    """Upper bound of the expansion."""


def curriculum_flaw(ratios: Sequence[float], boundaries: Sequence[int], num_boundaries: int) -> str | None:
    """What is wrong with a curriculum's stages, and the mend; None where nothing is."""
    if num_boundaries != len(ratios):
        return f"the curriculum has {len(ratios)} ratios but {num_boundaries} boundaries; give one boundary a ratio"
    if any(a > b for a, b in [*pairwise(boundaries), *pairwise(ratios)]):
        return f"curriculum boundaries {tuple(boundaries)} and ratios {tuple(ratios)} must not fall"
    if not all(0 < ratio <= 1 for ratio in ratios) or tuple(ratios[-1:]) != (1.0,):
        return f"curriculum ratios {tuple(ratios)} must be above 0 and end with 1.0, so that all records are shown"
    return None


class CurriculumConfig(Settings):
    """The growing prefix (MemFT-SW, temporal)."""

    ratios: tuple[float, ...] = PAPER_RATIOS
    """Share of the records shown in each stage."""
    boundaries: tuple[int, ...] | None = None
    """Epoch at which each stage ends; None: the paper's stages at 1k answer tokens, scaled to the run's epochs."""

    @model_validator(mode="after")
    def _fit(self) -> Self:
        # Without boundaries of its own there are as many as the paper has stages.
        num_boundaries = len(PAPER_RATIOS if self.boundaries is None else self.boundaries)
        if flaw := curriculum_flaw(self.ratios, self.boundaries or (), num_boundaries):
            raise ValueError(flaw)
        return self


class CompatConfig(Settings):
    """Quirks of the authors' scripts, off by default; set them to reproduce published runs."""

    sft_when_none_active: bool = False
    """A batch without sub-threshold tokens is trained with the plain SFT loss (memft-ot; memft-sw-curriculum's
    scripts have no loss there)."""
    window_state_by_slot: bool = False
    """Window state is kept by place in the batch, not by record (memft-sw)."""
    window_skip_last_tokens: int = Field(default=0, ge=0)
    """Answer tokens left out at the end (memft-sw; 5 in the scripts for Qwen)."""


class MethodConfig(Settings):
    """Which tokens and records the training budget goes to."""

    name: MethodName = "memft-ot"
    """sft: all tokens alike · memft-ot: tokens below the threshold only · memft-sw: a window from the first error on ·
    memft-sw-curriculum:
    memft-ot over a growing share of the records."""
    margin: float = Field(default=0.4, ge=0, lt=0.5)
    """Added to p = 0.5 where training decides that a token is done, so that what is learnt survives small changes of
    numerics; a run ends once every token is above a third of it. Also as text: "2 nats" is the margin of a token whose
    logit lies 2 nats above every other one's, whatever these are: p = 1 / (1 + e^-2), 0.38 above 0.5. The certificate's
    own threshold stays 0.5. The paper has 0."""
    epsilon: float = Field(default=0.01, ge=0)
    """Added to the objective's denominator (the paper's worked example); sft has none."""
    rest_epochs: int | None = Field(default=None, ge=0)
    """Epochs for which a record rests at most once every token of it is above the wanted probability; see
    `byheart.method.active`. 0: every record is visited in every epoch, as in the paper. None: 3;
    memft-sw-curriculum has a schedule of its own and takes no other value than 0."""
    window: WindowConfig = WindowConfig()
    curriculum: CurriculumConfig = CurriculumConfig()
    compat: CompatConfig = CompatConfig()

    @field_validator("margin", mode="before")
    @classmethod
    def _of_text(cls, value: object) -> object:
        """A margin written as text: a number, or nats."""
        if not isinstance(value, str):
            return value
        number, is_nats = value.removesuffix("nats").strip(), value.endswith("nats")
        try:
            margin = float(number)
        except ValueError:
            raise ValueError(
                f"margin {value!r} is no margin; give a number from 0 to below 0.5, or nats, such as '2 nats'"
            ) from None
        return math.tanh(margin / 2) / 2 if is_nats else margin  # 1 / (1 + e^-margin) less one half

    @model_validator(mode="after")
    def _one_schedule(self) -> Self:
        if self.name == "memft-sw-curriculum" and self.rest_epochs:
            raise ValueError(
                f"rest_epochs {self.rest_epochs}: memft-sw-curriculum has a schedule of its own, under which no record "
                "rests; leave rest_epochs out, or choose another method"
            )
        return self

    @property
    def needs_argmax(self) -> bool:
        """Whether the weighting asks which word is the most probable of all, which no sample of words can tell."""
        return self.name == "memft-sw"

    @property
    def needs_whole_batch(self) -> bool:
        """Whether the weighting looks at a batch as a whole, which then cannot run in several passes."""
        if self.name == "memft-sw":
            return self.compat.window_state_by_slot
        return self.name == "memft-ot" and self.compat.sft_when_none_active

    @property
    def proved_probability(self) -> float:
        """What the full pass that ends a run must find every answer token above: a little less than wanted, as its
        batches round differently and nothing is gained by mending that.
        """
        return CERTIFIED_PROBABILITY + self.margin / 6

    @property
    def wanted_probability(self) -> float:
        """What every answer token must exceed before a record rests and a run ends: tokens hover where their weight
        falls to zero, at 0.5 + margin, so what ends the run lies well below that.
        """
        return CERTIFIED_PROBABILITY + self.margin / 3
