import json
import shutil
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

import byheart
from byheart.errors import ArtifactError, BundleError, ModelError, SettingsError
from byheart.export.foreign import ForeignAdapter, is_foreign
from byheart.fingerprint import file_sha256
from byheart.memory.records import Memory
from byheart.pipeline import learn
from conftest import PAIRS

pytestmark = pytest.mark.filterwarnings("ignore")  # what PEFT warns of here is its own
NUMERICS = {"model": {"dtype": "float32", "device": "cpu"}}


@pytest.fixture(scope="module")
def bundle(tiny_model_directory, tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("foreign") / "bundle"
    settings = {**NUMERICS, "learn": {"epochs": 60, "learning_rate": 0.02, "batch_size": 2}}
    learn(
        Memory.from_pairs(PAIRS), str(tiny_model_directory), out=directory, layers="top:1", lora_rank=8, config=settings
    )
    return directory


@pytest.fixture
def stripped(bundle, tmp_path) -> Path:
    """A bundle's adapter as if somebody else had made it: nothing of byheart's beside it."""
    directory = tmp_path / "adapter"
    directory.mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        shutil.copy(bundle / name, directory)
    return directory


def changed(directory: Path, **change) -> None:
    path = directory / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))


def test_what_is_foreign(bundle, stripped, tmp_path):
    assert is_foreign(stripped)
    assert is_foreign(str(stripped))
    assert not is_foreign(bundle)
    assert not is_foreign(tmp_path)
    (stripped / "checkpoint.safetensors").write_bytes(b"")
    assert not is_foreign(stripped)


def test_the_same_weights_have_the_same_certificate_however_they_got_into_the_model(bundle, stripped, tiny_memory):
    ours = byheart.certify(bundle)
    theirs = byheart.certify(stripped, tiny_memory, config=NUMERICS)
    assert theirs.is_complete
    assert [record.verdict for record in theirs.records] == [record.verdict for record in ours.records]
    for one, other in zip(theirs.records, ours.records, strict=True):
        assert one.token_ids == other.token_ids
        assert one.p == pytest.approx(other.p, abs=1e-5)
    assert theirs.numerics == ours.numerics
    own = {"base_name", "adapter_sha256"}
    assert theirs.subject.model_dump(exclude=own) == ours.subject.model_dump(exclude=own)


def test_the_certificate_names_the_files(stripped, tiny_memory, tiny_base):
    adapter = ForeignAdapter.read(stripped)
    before = adapter.sha256
    assert adapter.certify(tiny_memory, tiny_base).subject.adapter_sha256 == before
    changed(stripped, lora_alpha=1)
    assert adapter.sha256 != before
    assert file_sha256(stripped / "adapter_model.safetensors") not in (before, adapter.sha256)


def test_a_given_base_is_used_and_given_back_as_it_was(stripped, tiny_memory, tiny_base):
    tokens = torch.tensor([[5, 6, 7]])
    before = tiny_base.model(input_ids=tokens).logits
    assert byheart.certify(stripped, tiny_memory, tiny_base).is_complete
    assert torch.equal(tiny_base.model(input_ids=tokens).logits, before)


def test_an_adapter_that_knows_nothing_fails_its_records(tiny_model_directory, tiny_memory, tiny_base, tmp_path):
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(tiny_model_directory), LoraConfig(r=2, use_dora=True))
    model.save_pretrained(tmp_path)
    certificate = byheart.certify(tmp_path, tiny_memory, tiny_base)
    assert {record.verdict for record in certificate.records} == {"failed"}


def test_prompts_are_encoded_as_the_settings_say(stripped, tiny_memory, tiny_base):
    chat = byheart.certify(stripped, tiny_memory, tiny_base)
    raw = byheart.certify(stripped, tiny_memory, tiny_base, {"encode": {"template": "raw"}})
    assert chat.is_complete
    assert not raw.is_complete
    assert raw.subject.prompt_fingerprint != chat.subject.prompt_fingerprint


def test_the_tokenizer_beside_the_adapter_is_the_one(stripped, tiny_memory, tiny_base, tiny_model_directory):
    tokenizer = type(tiny_base.tokenizer).from_pretrained(tiny_model_directory)
    tokenizer.chat_template = tokenizer.chat_template.replace("assistant", "Assistant")
    tokenizer.save_pretrained(stripped)
    certificate = byheart.certify(stripped, tiny_memory, tiny_base)
    assert not certificate.is_complete
    assert byheart.certify(stripped, tiny_memory, tiny_base) == certificate


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"base_model_name_or_path": None}, "names no base model; say which it is with --model"),
        ({"base_model_name_or_path": "/gone/away"}, "has its base model in /gone/away, which is not here"),
    ],
)
def test_a_base_that_is_not_told_is_asked_for(stripped, tiny_model_directory, tiny_memory, change, told):
    changed(stripped, **change)
    with pytest.raises(BundleError, match=told):
        ForeignAdapter.read(stripped)
    adapter = ForeignAdapter.read(stripped, NUMERICS, str(tiny_model_directory))
    assert adapter.config.model.name == str(tiny_model_directory)
    assert adapter.certify(tiny_memory).is_complete


def test_settings_name_the_base_before_the_adapter_does(stripped, tiny_model_directory):
    changed(stripped, base_model_name_or_path="some/model", revision="abc")
    own = ForeignAdapter.read(stripped, NUMERICS).config.model
    assert (own.name, own.revision, own.dtype) == ("some/model", "abc", "float32")
    told = ForeignAdapter.read(stripped, {"model": {"name": str(tiny_model_directory)}}).config.model
    assert (told.name, told.revision) == (str(tiny_model_directory), None)
    assert ForeignAdapter.read(stripped, None, "other/model").config.model.name == "other/model"


def test_pickled_weights_are_refused(stripped):
    (stripped / "adapter_model.safetensors").rename(stripped / "adapter_model.bin")
    with pytest.raises(ArtifactError, match=r"no adapter_model\.safetensors; byheart reads no other format"):
        ForeignAdapter.read(stripped)


@pytest.mark.parametrize("content", ["", "[]", "{"])
def test_a_damaged_config_is_told(stripped, content):
    (stripped / "adapter_config.json").write_text(content)
    with pytest.raises(ArtifactError, match="cannot read the adapter's config"):
        ForeignAdapter.read(stripped)


def test_damaged_weights_are_told(stripped, tiny_memory, tiny_base):
    (stripped / "adapter_model.safetensors").write_bytes(b"\0" * 64)
    with pytest.raises(BundleError, match="PEFT cannot load"):
        byheart.certify(stripped, tiny_memory, tiny_base)


def test_records_must_be_given(stripped, tiny_base):
    with pytest.raises(BundleError, match="give the records to certify it on"):
        byheart.certify(stripped, base=tiny_base)


def test_a_bundle_has_settings_of_its_own(bundle):
    with pytest.raises(SettingsError, match="a bundle has settings of its own"):
        byheart.certify(bundle, config={"encode": {"template": "raw"}})


def test_an_unknown_base_and_setting_are_told(stripped, tiny_memory):
    with pytest.raises(SettingsError, match="did you mean 'encode'"):
        ForeignAdapter.read(stripped, {"encod": {}})
    with pytest.raises(ModelError, match="did you mean 'smollm2-135m'"):
        ForeignAdapter.read(stripped, None, "smollm2-135").certify(tiny_memory)
