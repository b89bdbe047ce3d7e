"""byheart's own loop over the tiny model's records, for trainers to be held against."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from byheart.learning.activations import compute_activations
from byheart.learning.config import LearnConfig
from byheart.learning.step import Stepper
from byheart.memory.encode import EncodedMemory
from byheart.method.config import MethodConfig
from byheart.method.registry import build
from byheart.model.adapter import Adapter
from byheart.model.base import Base
from byheart.model.split import SplitModel

MakeStepper = Callable[..., Stepper]


@pytest.fixture(scope="session")
def make_stepper(tiny_base: Base, tiny_encoded: EncodedMemory) -> MakeStepper:
    """byheart's own loop under a method, uncut and over all words: the same sums as a trainer's forward pass."""
    uncut = SplitModel(tiny_base.model, None)
    activations = compute_activations(
        uncut, tiny_encoded, tiny_base.device, memory_budget_bytes=2**30, directory=Path("nowhere")
    )

    def make(adapter: Adapter, method: MethodConfig, **settings) -> Stepper:
        config = LearnConfig(shortlist=False, clip_norm=1e9, averaging=0.0, **settings)
        return Stepper(uncut, adapter, activations, build(method, 1, 1).weighting, config)

    return make
