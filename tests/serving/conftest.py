"""One certified bundle of the tiny model, and a server in front of it that all tests of this folder ask."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from openai import OpenAI

from byheart.export.bundle import Bundle
from byheart.memory.records import Memory
from byheart.model.base import Base
from byheart.pipeline import learn
from byheart.progress import Silent
from byheart.serving.address import Address
from byheart.serving.prepared import Prepared, prepare
from byheart.serving.server import BundleServer
from conftest import PAIRS
from tiny_gguf import write_tiny_gguf


@pytest.fixture(scope="package")
def bundle_directory(tiny_base: Base, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle's directory; tests must leave it as it is."""
    directory = tmp_path_factory.mktemp("served") / "vault"
    settings = {"learn": {"epochs": 60, "learning_rate": 0.02, "batch_size": 2}}
    bundle = learn(Memory.from_pairs(PAIRS), tiny_base, out=directory, layers="1", lora_rank=6, config=settings)
    assert bundle.certificate.is_complete
    return directory


@pytest.fixture(scope="package")
def base_file(tiny_base: Base, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model's GGUF file."""
    return write_tiny_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf", tiny_base)


@pytest.fixture(scope="package")
def prepared(
    bundle_directory: Path, base_file: Path, tiny_base: Base, tmp_path_factory: pytest.TempPathFactory
) -> Prepared:
    """The bundle made ready, its adapter converted into a cache of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BYHEART_CACHE", str(tmp_path_factory.mktemp("cache")))
        return prepare(Bundle.read(bundle_directory, tiny_base), bundle_directory, str(base_file), Silent())


@pytest.fixture(scope="package")
def server(prepared: Prepared) -> Iterator[BundleServer]:
    """It answers, without a key."""
    with BundleServer(prepared, Address(port=0), Silent()) as running:
        yield running


@pytest.fixture
def client(server: BundleServer) -> Iterator[OpenAI]:
    """OpenAI's own, which tries nothing twice."""
    with OpenAI(base_url=f"{server.url}/v1", api_key="-", max_retries=0, timeout=60) as asking:
        yield asking
