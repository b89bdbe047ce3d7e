"""One certified bundle of the tiny model, every kind of its linear modules adapted; and its base as a GGUF file."""

import shutil
from pathlib import Path

import pytest

from byheart.export.bundle import Bundle
from byheart.memory.records import Memory
from byheart.model.base import Base
from byheart.pipeline import learn
from conftest import PAIRS
from tiny_gguf import write_tiny_gguf


@pytest.fixture(scope="package")
def learnt(tiny_base: Base, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle's directory; tests must leave it as it is."""
    directory = tmp_path_factory.mktemp("learnt") / "vault"
    settings = {"learn": {"epochs": 60, "learning_rate": 0.02, "batch_size": 2}}
    bundle = learn(Memory.from_pairs(PAIRS), tiny_base, out=directory, layers="1", lora_rank=6, config=settings)
    assert bundle.certificate.is_complete
    return directory


@pytest.fixture
def own_bundle(learnt: Path, tiny_base: Base, tmp_path: Path) -> tuple[Path, Bundle]:
    """A copy of the bundle that a test may add to: its directory, and the bundle read from it."""
    directory = Path(shutil.copytree(learnt, tmp_path / "vault"))
    return directory, Bundle.read(directory, tiny_base)


@pytest.fixture(scope="package")
def tiny_gguf(tiny_base: Base, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model's GGUF file."""
    return write_tiny_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf", tiny_base)
