import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import byheart
from byheart.errors import ArtifactError, BundleError, RecordsError
from byheart.export.bundle import Bundle, Claim, claim
from byheart.export.manifest import CHECKPOINT_FILE, MANIFEST_FILE
from byheart.fingerprint import file_sha256
from byheart.learning.activations import FILE_NAME as ACTIVATIONS_FILE
from byheart.learning.state import SCHEMA_VERSION
from byheart.memory.record import Message
from byheart.memory.records import Memory
from byheart.model.base import Base, load
from byheart.model.config import ModelConfig
from byheart.pipeline import learn
from conftest import PAIRS

SETTINGS = {
    "model": {"dtype": "float32", "device": "cpu"},
    "learn": {"epochs": 60, "learning_rate": 0.02, "batch_size": 2},
}
FILES = {
    "README.md",
    "adapter_config.json",
    "adapter_model.safetensors",
    "byheart.json",
    "certificate.json",
    "metrics.jsonl",
    "records.jsonl",
}


@pytest.fixture(scope="module")
def whole(tiny_model_directory, tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("bundle") / "run"
    memory = Memory.from_pairs(PAIRS)
    learn(memory, str(tiny_model_directory), out=directory, layers="top:1", lora_rank=8, config=SETTINGS)
    return directory


@pytest.fixture
def own(whole, tmp_path) -> Path:
    """A copy that a test may change."""
    return shutil.copytree(whole, tmp_path / "bundle")


@pytest.fixture
def base(tiny_model_directory) -> Base:
    """A base that a test may change."""
    return load(ModelConfig(name=str(tiny_model_directory), dtype="float32", device="cpu"))


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_a_bundle_holds_its_files_and_nothing_of_the_run(whole):
    assert {path.name for path in whole.iterdir()} == FILES


def test_a_bundle_survives_its_directory(whole, tiny_base):
    bundle = Bundle.read(whole, tiny_base)
    assert [(record.prompt, record.answer) for record in bundle.memory] == PAIRS
    assert bundle.certificate.subject.adapter_sha256 == bundle.adapter.sha256(torch.float32)
    assert bundle.certificate.is_complete


def test_saved_again_elsewhere_it_is_the_same_but_for_the_metrics(whole, tiny_base, tmp_path):
    Bundle.read(whole, tiny_base).save(tmp_path / "other")
    expected = contents(whole)
    del expected["metrics.jsonl"]
    assert contents(tmp_path / "other") == expected


def test_read_without_a_base_it_loads_the_one_it_was_taught_on_in_its_numerics(whole):
    bundle = Bundle.read(whole)
    assert bundle.base.dtype == torch.float32
    assert bundle.base.identity == byheart.Bundle.read(whole, bundle.base).base.identity


def test_the_attention_that_was_certified_is_loaded_again(tiny_model_directory, tmp_path):
    config = ModelConfig(name=str(tiny_model_directory), dtype="float32", device="cpu", attention="eager")
    learn(
        Memory.from_pairs(PAIRS), load(config), out=tmp_path, layers="1", lora_rank=1, config={"learn": {"epochs": 1}}
    )
    assert Bundle.read(tmp_path).base.identity.attention == "eager"


def test_certified_again_it_has_the_same_certificate(whole, tiny_base):
    bundle = Bundle.read(whole, tiny_base)
    assert bundle.certify() == bundle.certificate
    assert byheart.certify(whole, base=tiny_base) == bundle.certificate


def test_other_records_are_certified_on_request(whole, tiny_base):
    other = Memory.from_pairs([("Where is the key?", "in my pocket")])
    certificate = byheart.certify(whole, other, base=tiny_base)
    assert [record.verdict for record in certificate.records] == ["failed"]


@pytest.mark.parametrize(("prompt", "answer"), PAIRS)
def test_it_recites_what_it_was_taught(whole, tiny_base, prompt, answer):
    assert byheart.recite(whole, prompt, base=tiny_base) == answer


def test_a_conversation_is_a_prompt_too(whole, tiny_base):
    assert byheart.recite(whole, (Message("user", "Say it."),), base=tiny_base) == " leading and trailing "


def test_an_answer_is_cut_where_asked(whole, tiny_base):
    bundle = Bundle.read(whole, tiny_base)
    cut = bundle.recite("Where is the key?", max_new_tokens=3)
    assert cut
    assert "under the 3rd stone".startswith(cut)


def test_a_prompt_that_fills_the_context_is_told(whole, tiny_base):
    bundle = Bundle.read(whole, tiny_base)
    with pytest.raises(RecordsError, match="leave no room in the model's context of 512"):
        bundle.recite("x" * 2000)


@pytest.mark.parametrize("name", sorted(FILES - {"README.md", "byheart.json", "metrics.jsonl"}))
def test_a_changed_file_is_refused(own, tiny_base, name):
    content = bytearray((own / name).read_bytes())
    content[len(content) // 2] ^= 1
    (own / name).write_bytes(content)
    with pytest.raises(ArtifactError, match=f"{name} is missing or was changed"):
        Bundle.read(own, tiny_base)


def test_the_metrics_may_go_missing(own, tiny_base):
    (own / "metrics.jsonl").unlink()
    assert Bundle.read(own, tiny_base).certificate.is_complete


def test_a_newer_bundle_is_refused(own, tiny_base):
    document = json.loads((own / MANIFEST_FILE).read_text())
    (own / MANIFEST_FILE).write_text(json.dumps({**document, "schema_version": 99}))
    with pytest.raises(ArtifactError, match="install a newer byheart"):
        Bundle.read(own, tiny_base)


def test_another_tokenizer_is_refused(whole, base):
    base.tokenizer.add_tokens(["stone"])
    with pytest.raises(BundleError, match=r"the tokenizer of .* is not the one this bundle was learnt with"):
        Bundle.read(whole, base)


def test_another_template_is_refused(whole, base):
    base.tokenizer.chat_template = base.tokenizer.chat_template.replace("assistant", "Assistant")
    with pytest.raises(BundleError, match=r"the chat template of .* is not the one"):
        Bundle.read(whole, base)


def test_another_base_is_refused(whole, tiny_model_directory, tmp_path):
    directory = shutil.copytree(tiny_model_directory, tmp_path / "model")
    tensors = load_file(directory / "model.safetensors")
    tensors["model.norm.weight"] += 1
    save_file(tensors, directory / "model.safetensors", {"format": "pt"})
    other = load(ModelConfig(name=str(directory), dtype="float32", device="cpu"))
    with pytest.raises(BundleError, match="has other weights than"):
        Bundle.read(whole, other)


def test_the_same_base_in_another_place_is_taken(whole, tiny_model_directory, tmp_path):
    directory = shutil.copytree(tiny_model_directory, tmp_path / "model")
    other = load(ModelConfig(name=str(directory), dtype="float32", device="cpu"))
    assert Bundle.read(whole, other).certify().is_complete


def test_an_empty_or_missing_directory_may_be_used(tmp_path):
    assert claim(tmp_path) is Claim.EMPTY
    assert claim(tmp_path / "deep" / "er", "run") is Claim.EMPTY
    assert (tmp_path / "deep" / "er").is_dir()


def test_a_whole_bundle_of_this_run_is_complete(whole):
    run = json.loads((whole / MANIFEST_FILE).read_text())["run_fingerprint"]
    assert claim(whole, run) is Claim.COMPLETE


def test_a_whole_bundle_of_another_run_is_refused(whole):
    with pytest.raises(ArtifactError, match="holds another run"):
        claim(whole, "another")


def checkpoint(directory: Path, run: str) -> None:
    header = {"schema_version": SCHEMA_VERSION, "run_fingerprint": run, "progress": {"epoch": 1}}
    save_file({"a": torch.zeros(1)}, directory / CHECKPOINT_FILE, {"byheart": json.dumps(header)})


def test_a_checkpoint_of_this_run_is_resumable(tmp_path):
    checkpoint(tmp_path, "run")
    (tmp_path / "metrics.jsonl").write_text("")
    assert claim(tmp_path, "run") is Claim.RESUMABLE


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    checkpoint(tmp_path, "run")
    with pytest.raises(ArtifactError, match="holds another run"):
        claim(tmp_path, "another")


@pytest.mark.parametrize("run", [None, "run"])
@pytest.mark.parametrize("name", ["thesis.tex", "adapter_model.safetensors", "records.jsonl"])
def test_somebody_elses_directory_is_refused(tmp_path, name, run):
    (tmp_path / name).write_text("precious")
    with pytest.raises(ArtifactError, match=f"is not empty .it holds {name}. and is no run of byheart"):
        claim(tmp_path, run)


def test_nothing_of_somebody_elses_is_overwritten(whole, tiny_base, tmp_path):
    (tmp_path / "adapter_model.safetensors").write_text("precious")
    with pytest.raises(ArtifactError, match="is no run of byheart"):
        Bundle.read(whole, tiny_base).save(tmp_path)
    assert contents(tmp_path) == {"adapter_model.safetensors": b"precious"}


def test_what_a_killed_run_left_half_written_is_no_strangers(tmp_path):
    (tmp_path / ".checkpoint.safetensors.x1.partial").write_text("half")
    (tmp_path / ACTIVATIONS_FILE).write_text("left")
    assert claim(tmp_path, "run") is Claim.EMPTY


def test_saving_clears_what_killed_runs_left(whole, tiny_base, tmp_path):
    (tmp_path / ".certificate.json.x1.partial").write_text("half")
    checkpoint(tmp_path, Bundle.read(whole, tiny_base).manifest.run_fingerprint)
    Bundle.read(whole, tiny_base).save(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == FILES - {"metrics.jsonl"}


def test_a_place_that_is_no_directory_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ArtifactError, match="choose another --out"):
            claim(place)


def test_a_directory_that_cannot_be_written_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda *_: False)  # the tests may run as somebody who may write everywhere
    with pytest.raises(ArtifactError, match="permission denied; choose another --out"):
        claim(tmp_path)


def test_the_summary_is_the_manifests_and_the_place(whole, tiny_base):
    bundle = Bundle.read(whole, tiny_base)
    assert bundle.summary(whole) == {**bundle.manifest.summary.model_dump(), "bundle": str(whole)}
    assert bundle.summary()["bundle"] is None


def test_the_summarys_keys_are_pinned(whole, tiny_base):
    assert list(Bundle.read(whole, tiny_base).summary(whole)) == [
        "num_records",
        "num_answer_tokens",
        "exact_match",
        "num_certified",
        "num_recited",
        "num_failed",
        "token_accuracy",
        "nll_nats",
        "min_probability",
        "lora_rank",
        "num_parameters",
        "bits_per_parameter",
        "epochs",
        "train_seconds",
        "total_seconds",
        "model",
        "bundle",
    ]


def test_records_whose_prompts_have_other_ids_now_are_refused(whole, tiny_base):
    bundle = Bundle.read(whole, tiny_base)
    changed = replace(bundle, memory=Memory.from_pairs([("Where is the key? ", "under the 3rd stone"), *PAIRS[1:]]))
    with pytest.raises(BundleError, match="other token ids"):
        changed.certify()


def changed_manifest(directory: Path, change) -> None:
    document = json.loads((directory / MANIFEST_FILE).read_text())
    change(document)
    (directory / MANIFEST_FILE).write_text(json.dumps(document))


def test_a_bundle_taught_on_another_device_with_remote_code_is_read_here_without(own, monkeypatch):
    def change(document):
        document["settings"]["model"] |= {"device": "cuda:9", "trust_remote_code": True}
        document["base"]["device"] = "cuda"

    changed_manifest(own, change)
    asked = []
    monkeypatch.setattr("byheart.export.bundle.load", lambda config, _: asked.append(config) or load(config))
    assert Bundle.read(own).certificate.is_complete
    assert [(config.device, config.trust_remote_code) for config in asked] == [("auto", False)]


def test_a_certificate_of_another_adapter_is_refused(own, tiny_base):
    path = own / "adapter_model.safetensors"
    tensors = load_file(path)
    next(iter(tensors.values()))[0, 0] += 1
    save_file(tensors, path, {"format": "pt"})
    changed_manifest(own, lambda document: document["files"].update({path.name: file_sha256(path)}))
    with pytest.raises(BundleError, match="was measured on another adapter"):
        Bundle.read(own, tiny_base)


def test_a_certificate_of_other_records_is_refused(own, tiny_base):
    path = own / "records.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[1:]))
    changed_manifest(own, lambda document: document["files"].update({path.name: file_sha256(path)}))
    with pytest.raises(ArtifactError, match="is not of the records in"):
        Bundle.read(own, tiny_base)


def test_an_interrupted_save_can_be_done_again(whole, tiny_base, tmp_path, monkeypatch):
    bundle = Bundle.read(whole, tiny_base)
    with monkeypatch.context() as killed, pytest.raises(KeyboardInterrupt):
        killed.setattr("byheart.export.manifest.Manifest.save", raising(KeyboardInterrupt))
        bundle.save(tmp_path)
    with pytest.raises(ArtifactError, match="holds another run"):
        claim(tmp_path, "another")
    bundle.save(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == FILES - {"metrics.jsonl"}


def raising(error):
    def fail(*_):
        raise error

    return fail


def test_a_strangers_file_beside_an_interrupted_save_is_respected(whole, tiny_base, tmp_path):
    claim(tmp_path, "run")
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(ArtifactError, match=r"it holds thesis\.tex"):
        Bundle.read(whole, tiny_base).save(tmp_path)


def test_saving_clears_the_activations_too(whole, tiny_base, tmp_path):
    (tmp_path / ACTIVATIONS_FILE).write_text("left")
    Bundle.read(whole, tiny_base).save(tmp_path)
    assert not (tmp_path / ACTIVATIONS_FILE).exists()
