"""The engine's parts on the tiny model: two layers, the upper one adapted."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from byheart.learning.activations import ActivationCache, compute_activations
from byheart.learning.config import LearnConfig
from byheart.learning.shortlist import Vocabulary
from byheart.learning.step import Stepper
from byheart.memory.encode import EncodedMemory
from byheart.method.weighting import TokenWeighting, Uniform
from byheart.model.adapter import Adapter
from byheart.model.base import Base
from byheart.model.split import SplitModel
from models_for_tests import awake, placed


@pytest.fixture(scope="session")
def split_model(tiny_base: Base) -> SplitModel:
    return SplitModel(tiny_base.model, cut=1, shares_prompt=True, skips_unread=True, picks_words=True)


@pytest.fixture(scope="session")
def activations(split_model: SplitModel, tiny_base: Base, tiny_encoded: EncodedMemory) -> ActivationCache:
    return compute_activations(
        split_model, tiny_encoded, tiny_base.device, memory_budget_bytes=2**30, directory=Path("nowhere")
    )


@pytest.fixture
def adapter(tiny_base: Base) -> Adapter:
    return awake(placed(tiny_base.model, "top:1", rank=4))


MakeStepper = Callable[..., Stepper]


@pytest.fixture
def make_stepper(split_model: SplitModel, activations: ActivationCache, adapter: Adapter) -> MakeStepper:
    def make(
        weighting: TokenWeighting | None = None,
        own: Adapter | None = None,
        vocabulary: Vocabulary | None = None,
        **settings,
    ) -> Stepper:
        config = LearnConfig(**settings)
        return Stepper(split_model, own or adapter, activations, weighting or Uniform(), config, vocabulary)

    return make


@pytest.fixture
def gradients_of(monkeypatch):
    """The gradients with which a stepper would take a step, before they are clipped."""

    def gradients_of_(stepper: Stepper, indices: list[int]) -> list[torch.Tensor]:
        taken: list[torch.Tensor] = []

        def keep(parameters, max_norm):
            taken.extend(parameter.grad.clone() for parameter in parameters)
            return torch.tensor(1.0)

        with monkeypatch.context() as patch:
            patch.setattr(torch.nn.utils, "clip_grad_norm_", keep)
            stepper.step(indices, 0.0, {}, 0)
        return taken

    return gradients_of_
