import json

import pytest

from byheart.config import RunConfig
from byheart.errors import ArtifactError
from byheart.export.manifest import CHECKPOINT_FILE, MANIFEST_FILE, SCHEMA_VERSION, Manifest, Summary
from byheart.fingerprint import file_sha256
from byheart.learning.events import Growth
from byheart.model.peft_config import CONFIG_FILE

NAMES = ("adapter_config.json", "adapter_model.safetensors", "certificate.json", "records.jsonl")
PLACEMENT = {
    "layers": [1],
    "sites": [{"path": "model.layers.1.mlp.up_proj", "num_in": 4, "num_out": 8}],
    "lora_rank": 2,
    "lora_alpha": 2.0,
    "lora_dropout": 0.0,
    "is_bypass": False,
}
BASE = {
    "name": "tiny",
    "architecture": "LlamaForCausalLM",
    "revision": None,
    "weights_sha256": None,
    "dtype": "float32",
    "device": "cuda",
    "attention": "sdpa",
}
COUNTS = ("num_records", "num_answer_tokens", "num_certified", "num_recited", "num_failed", "lora_rank")
SHARES = ("exact_match", "token_accuracy", "nll_nats", "min_probability", "bits_per_parameter")
SUMMARY = {
    **dict.fromkeys((*COUNTS, "num_parameters", "epochs"), 1),
    **dict.fromkeys((*SHARES, "train_seconds", "total_seconds"), 0.5),
    "model": "tiny",
}


@pytest.fixture
def manifest(tmp_path) -> Manifest:
    for name in NAMES:
        (tmp_path / name).write_text("{}\n")
    return Manifest(
        run_fingerprint="run",
        settings={"seed": 1},
        placement=PLACEMENT,
        base=BASE,
        tokenizer_fingerprint="t",
        template_fingerprint="c",
        prompt_fingerprint="p",
        summary=Summary(**SUMMARY),
        stop_reason="certified",
        weights_epoch=1,
        rank_reason="as asked",
        growths=(Growth(7, 8, 16),),
        nll_before_nats=1.5,
        bits=33.2,
        files={name: file_sha256(tmp_path / name) for name in NAMES},
    )


def change(path, **values):
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_a_manifest_survives_its_file(manifest, tmp_path):
    manifest.save(tmp_path)
    assert Manifest.read(tmp_path) == manifest


def test_a_directory_without_one_is_no_bundle(tmp_path):
    with pytest.raises(ArtifactError, match=r"is not a byheart bundle: it has no byheart\.json"):
        Manifest.read(tmp_path)


def test_a_directory_with_a_checkpoint_alone_is_an_unfinished_run(tmp_path):
    (tmp_path / CHECKPOINT_FILE).write_text("")
    with pytest.raises(ArtifactError, match="give the same learn command again and it goes on"):
        Manifest.read(tmp_path)


def test_a_changed_file_is_told(manifest, tmp_path):
    manifest.save(tmp_path)
    (tmp_path / "records.jsonl").write_text("{} \n")
    with pytest.raises(ArtifactError, match=r"records\.jsonl is missing or was changed"):
        Manifest.read(tmp_path)


def test_a_missing_file_is_told(manifest, tmp_path):
    manifest.save(tmp_path)
    (tmp_path / "records.jsonl").unlink()
    with pytest.raises(ArtifactError, match=r"records\.jsonl is missing or was changed"):
        Manifest.read(tmp_path)


def test_a_newer_schema_is_refused(manifest, tmp_path):
    manifest.save(tmp_path)
    change(tmp_path / MANIFEST_FILE, schema_version=SCHEMA_VERSION + 1, something_new=True)
    with pytest.raises(ArtifactError, match="install a newer byheart"):
        Manifest.read(tmp_path)


def test_an_unknown_key_is_refused(manifest, tmp_path):
    manifest.save(tmp_path)
    change(tmp_path / MANIFEST_FILE, something=1)
    with pytest.raises(ArtifactError, match="is not a whole manifest"):
        Manifest.read(tmp_path)


def test_a_torn_file_is_refused(manifest, tmp_path):
    manifest.save(tmp_path)
    path = tmp_path / MANIFEST_FILE
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ArtifactError, match="is not the JSON of a byheart bundle"):
        Manifest.read(tmp_path)


@pytest.mark.parametrize("field", ["placement", "summary", "base", "files", "settings"])
@pytest.mark.parametrize("value", [{"nothing": "known"}, [], None])
def test_malformed_values_are_told_with_the_file(manifest, tmp_path, field, value):
    manifest.save(tmp_path)
    change(tmp_path / MANIFEST_FILE, **{field: value})
    with pytest.raises(ArtifactError, match=r"byheart\.json is not a whole manifest: .*(nothing|" + field + ")"):
        Manifest.read(tmp_path)


@pytest.mark.parametrize("field", ["placement", "summary", "base", "files"])
def test_empty_values_are_told_with_the_file(manifest, tmp_path, field):
    manifest.save(tmp_path)
    change(tmp_path / MANIFEST_FILE, **{field: {}})
    with pytest.raises(ArtifactError, match=r"byheart\.json is not a whole manifest"):
        Manifest.read(tmp_path)


def test_a_file_that_is_none_of_a_bundles_is_refused(manifest, tmp_path):
    manifest.save(tmp_path)
    change(tmp_path / MANIFEST_FILE, files={**manifest.files, "../../etc/passwd": "0"})
    with pytest.raises(ArtifactError, match=r"missing or left over: \.\./\.\./etc/passwd"):
        Manifest.read(tmp_path)


def test_a_bypass_has_files_of_its_own(manifest):
    bypass = manifest.model_copy(update={"placement": {**PLACEMENT, "is_bypass": True}})
    assert bypass.file_names == {"certificate.json", "records.jsonl", "mlp_bypass.safetensors"}
    assert CONFIG_FILE in manifest.file_names


def test_how_to_learn_a_changed_bundle_again_is_told(manifest, tmp_path):
    manifest.save(tmp_path)
    (tmp_path / "records.jsonl").unlink()
    with pytest.raises(ArtifactError, match="learn again with another --out, or after removing the directory"):
        Manifest.read(tmp_path)


def test_its_settings_are_those_of_a_run(manifest):
    assert manifest.run_config == RunConfig(seed=1)


def test_its_settings_are_parsed_once(manifest):
    assert manifest.run_config is manifest.run_config


def test_parsed_settings_are_no_part_of_what_is_compared_or_saved(manifest, tmp_path):
    parsed = manifest.model_copy()
    _ = parsed.run_config
    assert parsed == manifest
    parsed.save(tmp_path)
    assert Manifest.read(tmp_path).model_dump() == manifest.model_dump()


@pytest.mark.parametrize("value", [0, "last", None])
def test_the_epoch_of_the_weights_is_one(manifest, tmp_path, value):
    manifest.save(tmp_path)
    change(tmp_path / MANIFEST_FILE, weights_epoch=value)
    with pytest.raises(ArtifactError, match="weights_epoch missing, unknown or of the wrong type"):
        Manifest.read(tmp_path)
