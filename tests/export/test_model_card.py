import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from byheart.certification.certificate import Failure
from byheart.export.bundle import Bundle
from byheart.export.model_card import model_card, write_card
from byheart.memory.records import Memory
from byheart.model.base import Base
from byheart.model.placement import Placement
from byheart.pipeline import learn
from conftest import PAIRS
from models_for_tests import gpt2, placed

SETTINGS = {"learn": {"epochs": 60, "learning_rate": 0.02, "batch_size": 2}}


@pytest.fixture(scope="module")
def bundle(tiny_base: Base) -> Bundle:
    return learn(Memory.from_pairs(PAIRS), tiny_base, layers="top:1", lora_rank=8, config=SETTINGS)


def card(bundle: Bundle, placement: Placement | None = None, **base: str) -> str:
    """The bundle's card, as if it had another placement, or a base of another name or place."""
    other = bundle.base
    if "name" in base:
        identity = replace(other.identity, name=base["name"])
        other = replace(other, identity=identity, location=base["name"])  # as of the hub
    if "location" in base:
        other = replace(other, location=base["location"])
    return model_card(bundle.certificate, placement or bundle.adapter.placement, other, bundle.manifest.bits)


def metadata(text: str) -> dict:
    head, values, _ = text.split("---\n", 2)
    assert head == ""
    return yaml.safe_load(values)


def rows(text: str) -> dict[str, str]:
    return dict(re.findall(r"^\| (\S[^|]*) \| (.*) \|$", text, re.MULTILINE))


def test_its_metadata_is_what_the_hub_reads(bundle):
    values = metadata(card(bundle, name="HuggingFaceTB/SmolLM2-360M-Instruct"))
    assert values["base_model"] == "HuggingFaceTB/SmolLM2-360M-Instruct"
    assert values["library_name"] == "peft"
    assert {"lora", "byheart", "base_model:adapter:HuggingFaceTB/SmolLM2-360M-Instruct"} <= set(values["tags"])
    assert "license" not in values


def test_a_directory_that_is_called_like_a_hubs_repository_is_none(bundle, tiny_model_directory):
    values = metadata(card(bundle, name="models/tiny", location=str(tiny_model_directory)))
    assert "base_model" not in values
    assert not any(tag.startswith("base_model:") for tag in values["tags"])


def test_a_base_of_ones_own_is_named_and_its_place_is_not_told(bundle, tiny_model_directory):
    text = card(bundle)
    assert "base_model" not in metadata(text)
    assert f"`{tiny_model_directory.name}`" in text
    assert str(tiny_model_directory.parent) not in text
    assert "vllm serve BASE " in text


def test_the_embedded_models_licence_and_copy_are_told(bundle):
    text = card(bundle, name="smollm2-135m")
    assert metadata(text)["license"] == "apache-2.0"
    assert metadata(text)["base_model"] == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert "the hub's original has other weights" in text


@pytest.mark.parametrize(
    ("content", "licence"),
    [("---\nlicense: mit\n---\n# Base\n", "mit"), ("# Base\n", None), ("---\nlicense: [\n---\n", None)],
)
def test_the_licence_is_what_the_bases_own_card_says(bundle, tmp_path, content, licence):
    (tmp_path / "README.md").write_text(content)
    assert metadata(card(bundle, location=str(tmp_path))).get("license") == licence


def test_the_certificate_is_in_a_table(bundle):
    certificate, table = bundle.certificate, rows(card(bundle))
    assert (table["certified"], table["recited"], table["failed"]) == ("4", "0", "0")
    assert table["exact match"] == "1"
    assert table["least probable token"] == f"p = {certificate.min_probability:.3g}"
    assert table["smallest logit margin"] == f"{certificate.min_logit_margin:.3g} nats"
    assert table["records"] == "4"
    assert table["answer tokens"] == str(certificate.num_answer_tokens)
    assert table["parameters"] == f"{bundle.adapter.placement.num_parameters:,}"
    assert certificate.subject.adapter_sha256 in table["adapter"]
    assert "float32 on cpu" in table["numerics"]


def test_an_adapter_that_lost_records_says_so_in_its_title(bundle):
    records = bundle.certificate.records
    failed = records[0].model_copy(
        update={"verdict": "failed", "first_failure": Failure(position=0, expected="u", got="")}
    )
    certificate = bundle.certificate.model_copy(update={"records": (failed, *records[1:])})
    text = model_card(certificate, bundle.adapter.placement, bundle.base, bundle.manifest.bits)
    assert "\n# 3 of 4 records by heart\n" in text
    assert "Greedy decoding gives 3 of 4 records back to the letter" in text
    assert "\n# 4 records by heart\n" in card(bundle)


def test_it_warns_and_tells_nothing_of_what_the_records_hold(bundle):
    text = card(bundle)
    assert "gives what it holds to whoever asks" in text
    for pair in PAIRS:
        for content in pair:
            for line in content.split("\n"):
                assert line.strip() not in text
    assert not any(record.id in text for record in bundle.memory)


def test_every_engine_has_its_lines(bundle):
    text = card(bundle, name="some/model")
    assert "PeftModel.from_pretrained(" in text
    assert 'dtype="float32"' in text
    assert "llama-server -m BASE.gguf --lora path/to/this/directory/adapter.gguf" in text
    assert "ollama create by-heart -f path/to/this/directory/ollama/Modelfile" in text
    line = "vllm serve some/model --enable-lora --max-lora-rank 8 --lora-modules by-heart=path/to/this/directory\n"
    assert line in text
    assert "--to peft" not in text


@pytest.mark.parametrize(
    ("rank", "told"),
    [
        (3, "export path/to/this/directory --to peft\nvllm serve BASE --enable-lora --max-lora-rank 8 "),
        (300, "--lora-modules by-heart=path/to/this/directory/peft\n"),
        (513, "With vLLM not at all: rank 513 is above its largest, 512"),
    ],
)
def test_a_rank_that_vllm_does_not_take_is_padded_by_the_export(bundle, rank, told):
    assert told in card(bundle, replace(bundle.adapter.placement, lora_rank=rank))


def test_what_other_engines_would_misread_is_not_offered_to_them(bundle):
    bypass = card(bundle, placed(bundle.base.model, "top:1", "mlp-bypass"))
    assert "only byheart loads it" in bypass
    conv1d = card(bundle, placed(gpt2(), "top:1"))
    assert "--to merged" in conv1d
    assert "PeftModel" in conv1d
    assert "PeftModel" not in bypass
    for text in (bypass, conv1d):
        assert not re.search("vllm serve|llama-server|ollama create", text)
        assert "byheart certify path/to/this/directory" in text


def test_the_bundle_has_it_and_is_whole_without(bundle, tiny_base, tmp_path):
    bundle.save(tmp_path)
    assert (tmp_path / "README.md").read_text() == card(bundle)
    (tmp_path / "README.md").unlink()
    assert Bundle.read(tmp_path, tiny_base).certificate.is_complete


def test_an_edited_card_is_read_and_kept(bundle, tiny_base, tmp_path):
    bundle.save(tmp_path)
    path = tmp_path / "README.md"
    path.write_text(path.read_text().replace("# 4 records by heart", "# My phone book"))
    edited = path.read_text()
    assert "# My phone book" in edited
    Bundle.read(tmp_path, tiny_base).save(tmp_path)
    assert path.read_text() == edited


def test_an_unchanged_card_is_written_anew(tmp_path, bundle):
    assert write_card(tmp_path, card(bundle))
    other = card(bundle, name="some/model")
    assert write_card(tmp_path, other)
    assert (tmp_path / "README.md").read_text() == other


@pytest.mark.parametrize("change", [lambda text: text + "more\n", lambda text: "x" + text, lambda text: "", str.upper])
def test_any_change_is_respected(tmp_path: Path, bundle, change):
    write_card(tmp_path, card(bundle))
    path = tmp_path / "README.md"
    path.write_text(changed := change(path.read_text()))
    assert not write_card(tmp_path, card(bundle, name="some/model"))
    assert path.read_text() == changed
