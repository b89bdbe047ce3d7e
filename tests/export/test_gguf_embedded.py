"""The embedded model in llama.cpp on its own quantised file: the one export test that needs a real language model."""

import random
from pathlib import Path

import pytest

from byheart.export.bundle import Bundle
from byheart.export.registry import export
from byheart.export.request import Exported, ExportRequest
from byheart.memory.records import Memory
from byheart.model.base import load
from byheart.model.config import ModelConfig
from byheart.pipeline import learn
from byheart.progress import Silent
from embedded_for_tests import NEEDS_EMBEDDED_MODEL

pytestmark = NEEDS_EMBEDDED_MODEL


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Exported]:
    rng = random.Random(1)
    names = ("Ada Arden", "Bela Bexley", "Cleo Corwin", "Dov Dray", "Edda Elms", "Finn Frost")
    memory = Memory.from_pairs((f"{name}:", "".join(rng.choices("0123456789", k=6))) for name in names)
    base = load(ModelConfig(dtype="bfloat16", device="cpu"))
    directory = tmp_path_factory.mktemp("embedded") / "contacts"
    learn(memory, base, out=directory, layers="top:2", lora_rank=8)
    request = ExportRequest.parse(directory, "gguf", check=True)
    return directory, export(Bundle.read(directory, base), request, Silent())


def test_every_contact_comes_back_on_the_very_file_it_was_dequantised_from(checked):
    certificate = checked[1].engine_certificate
    assert certificate.numerics.quantisation == "Q4_1"
    assert certificate.num_exact == certificate.num_records == 6


def test_its_own_chat_template_asks_the_certified_prompts(checked):
    assert checked[1].engine_certificate.num_exact_in_chat == 6


def test_the_adapters_file_keeps_the_bases_licence_and_name(checked):
    from gguf import GGUFReader

    fields = GGUFReader(checked[1].path).fields
    assert fields["general.license"].contents() == "apache-2.0"
    assert fields["general.base_model.0.repo_url"].contents().endswith("/HuggingFaceTB/SmolLM2-135M-Instruct")
