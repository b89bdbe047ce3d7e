"""The tiny model with a memory it knows: an adapter that was taught in fp32 until a full pass certified it."""

import pytest
import torch

from byheart.memory.encode import EncodedMemory
from byheart.memory.records import Memory
from byheart.model.adapter import Adapter
from byheart.model.base import Base
from byheart.pipeline import learn
from conftest import PAIRS
from models_for_tests import placed

SETTINGS = {"learn": {"epochs": 150, "learning_rate": 0.02, "batch_size": 2}}


@pytest.fixture(scope="session")
def taught(tiny_base: Base) -> Adapter:
    bundle = learn(Memory.from_pairs(PAIRS), tiny_base, layers="top:1", lora_rank=8, config=SETTINGS)
    assert bundle.manifest.stop_reason == "certified"
    return bundle.adapter


@pytest.fixture(scope="session")
def untaught(tiny_base: Base) -> Adapter:
    return Adapter.initialised(placed(tiny_base.model, "top:1"), torch.device("cpu"), seed=1).eval()


@pytest.fixture
def encoded(tiny_encoded: EncodedMemory) -> EncodedMemory:
    return tiny_encoded
