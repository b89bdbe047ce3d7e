import json

import pytest

from byheart.errors import ArtifactError
from byheart.export.manifest import CHECKPOINT_FILE, MANIFEST_FILE, SCHEMA_VERSION, Manifest
from byheart.fingerprint import file_sha256


@pytest.fixture
def manifest(tmp_path) -> Manifest:
    (tmp_path / "records.jsonl").write_text("{}\n")
    return Manifest(
        run_fingerprint="run",
        settings={"seed": 1},
        placement={"layers": [1]},
        base={"name": "tiny", "revision": None},
        tokenizer_fingerprint="t",
        template_fingerprint="c",
        prompt_fingerprint="p",
        summary={"num_records": 1},
        stop_reason="certified",
        rank_reason="as asked",
        nll_before_nats=1.5,
        bits=33.2,
        files={"records.jsonl": file_sha256(tmp_path / "records.jsonl")},
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
