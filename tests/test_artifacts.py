import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from byheart.artifacts import atomic_path, read_json, write_bytes, write_json
from byheart.errors import ArtifactError

VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3)),
    max_leaves=8,
)


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A file with old content, alone in its directory."""
    path = tmp_path / "certificate.json"
    path.write_bytes(b"old")
    return path


def assert_untouched(path: Path) -> None:
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def refuse(code: int) -> Callable[..., Any]:
    def refusing(*arguments: object, **named: object) -> Any:
        raise OSError(code, os.strerror(code))

    return refusing


def test_what_was_written_takes_the_old_ones_place(kept: Path) -> None:
    write_bytes(kept, b"new")
    assert kept.read_bytes() == b"new"
    assert [entry.name for entry in kept.parent.iterdir()] == [kept.name]


def test_missing_directories_are_made(tmp_path: Path) -> None:
    write_bytes(tmp_path / "a" / "b" / "file", b"new")
    assert (tmp_path / "a" / "b" / "file").read_bytes() == b"new"


def test_a_file_has_the_rights_any_other_new_file_has(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"")
    write_bytes(tmp_path / "ours", b"")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "other").stat().st_mode


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, ValueError])
def test_an_error_in_the_block_is_passed_on_and_nothing_has_changed(kept: Path, error: type[BaseException]) -> None:
    with pytest.raises(error), atomic_path(kept) as temporary:
        temporary.write_bytes(b"half of the ne")
        raise error
    assert_untouched(kept)


def test_the_old_file_stays_until_the_new_one_is_whole(kept: Path) -> None:
    with atomic_path(kept) as temporary:
        temporary.write_bytes(b"half of the ne")
        assert kept.read_bytes() == b"old"


def test_a_disk_that_is_full_while_writing_is_an_error_that_keeps_the_old_file(
    kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "write_bytes", refuse(errno.ENOSPC))
    with pytest.raises(ArtifactError, match=r"certificate\.json: No space left on device.*unchanged"):
        write_bytes(kept, b"new")
    assert_untouched(kept)


def test_a_disk_that_is_full_while_syncing_is_an_error_that_keeps_the_old_file(
    kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", refuse(errno.ENOSPC))
    with pytest.raises(ArtifactError, match=r"certificate\.json: No space left on device.*unchanged"):
        write_bytes(kept, b"new")
    assert_untouched(kept)


def test_a_rename_that_fails_is_an_error_that_keeps_the_old_file(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "replace", refuse(errno.EIO))
    with pytest.raises(ArtifactError, match="unchanged"):
        write_bytes(kept, b"new")
    assert_untouched(kept)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_a_disk_that_is_full_for_another_writer_is_ours_too(kept: Path) -> None:
    with pytest.raises(ArtifactError, match="No space left"), atomic_path(kept), Path("/dev/full").open("wb") as full:
        full.write(b"x" * 100_000)
    assert_untouched(kept)


def test_a_directory_that_cannot_be_synced_is_no_failure_for_the_file_is_in_place(
    kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = os.fsync

    def sync_files_only(descriptor: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").is_dir():
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", sync_files_only)
    write_bytes(kept, b"new")
    assert kept.read_bytes() == b"new"


def test_the_bytes_are_synced_before_the_name_changes(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    sync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda descriptor: (done.append("sync"), sync(descriptor)))
    monkeypatch.setattr(Path, "replace", lambda path, target: (done.append("rename"), replace(path, target)))
    write_bytes(kept, b"new")
    assert done[:2] == ["sync", "rename"]


def test_a_directory_in_the_files_place_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(ArtifactError, match=r"cannot write .*taken"):
        write_bytes(tmp_path / "taken", b"new")


def test_a_file_where_a_directory_is_needed_is_an_error(kept: Path) -> None:
    with pytest.raises(ArtifactError, match=r"cannot write .*inside"):
        write_bytes(kept / "inside", b"new")
    assert_untouched(kept)


def test_a_missing_right_is_told_as_the_system_tells_it(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.mkstemp", refuse(errno.EACCES))
    with pytest.raises(ArtifactError, match="Permission denied"):
        write_bytes(kept, b"new")
    assert_untouched(kept)


HALF_WRITTEN = """
with atomic_path(path) as temporary, temporary.open("wb") as file:
    file.write(b"n" * 100_000)
    file.flush()
    hang()
"""
NOT_YET_SYNCED = """
os.fsync = lambda descriptor: hang()
write_bytes(path, b"n" * 200_000)
"""
NOT_YET_RENAMED = """
Path.replace = lambda self, target: hang()
write_bytes(path, b"n" * 200_000)
"""
OVER_AND_OVER = """
print("here", flush=True)
while True:
    write_bytes(path, b"n" * 4_000_000)
    write_bytes(path, b"o" * 4_000_000)
"""
PREAMBLE = """
import os, sys, time
from pathlib import Path
from byheart.artifacts import atomic_path, write_bytes
path = Path(sys.argv[1])
def hang():
    print("here", flush=True)
    time.sleep(60)
"""


def kill_when_here(code: str, path: Path, after_seconds: float = 0.0) -> None:
    with subprocess.Popen([sys.executable, "-c", PREAMBLE + code, str(path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"here\n"
        time.sleep(after_seconds)
        process.send_signal(signal.SIGKILL)


@pytest.mark.parametrize("code", [HALF_WRITTEN, NOT_YET_SYNCED, NOT_YET_RENAMED])
def test_a_process_killed_before_the_rename_leaves_the_old_file(kept: Path, code: str) -> None:
    kill_when_here(code, kept)
    assert kept.read_bytes() == b"old"


@pytest.mark.parametrize("code", [HALF_WRITTEN, NOT_YET_SYNCED, NOT_YET_RENAMED])
def test_a_process_killed_before_the_rename_leaves_no_new_file(tmp_path: Path, code: str) -> None:
    kill_when_here(code, tmp_path / "new.json")
    assert not (tmp_path / "new.json").exists()


@pytest.mark.parametrize("after_seconds", [0.003, 0.011, 0.017, 0.031, 0.047])
def test_a_process_killed_at_any_moment_leaves_a_whole_file(tmp_path: Path, after_seconds: float) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"o" * 4_000_000)
    kill_when_here(OVER_AND_OVER, path, after_seconds)
    assert path.read_bytes() in (b"n" * 4_000_000, b"o" * 4_000_000)


@given(st.dictionaries(st.text().filter(lambda key: key not in ("kind", "schema_version")), VALUES, max_size=4))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_json_is_read_back_as_it_was_written(tmp_path: Path, content: dict[str, Any]) -> None:
    write_json(tmp_path / "a.json", "certificate", 1, content)
    assert read_json(tmp_path / "a.json", "certificate", 1) == content


def test_json_is_headed_by_kind_and_version_and_readable(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", "certificate", 3, {"ΔL": 1.5})
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert text == '{\n  "kind": "certificate",\n  "schema_version": 3,\n  "ΔL": 1.5\n}\n'


def test_nan_is_no_json_and_keeps_the_old_file(kept: Path) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(kept, "certificate", 1, {"nll_nats": float("nan")})
    assert_untouched(kept)


@pytest.mark.parametrize("key", ["kind", "schema_version"])
def test_content_may_not_overwrite_the_head(kept: Path, key: str) -> None:
    with pytest.raises(AssertionError):
        write_json(kept, "certificate", 1, {key: "other"})
    assert_untouched(kept)


def test_an_older_schema_is_read(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", "certificate", 1, {"records": 2})
    assert read_json(tmp_path / "a.json", "certificate", 2) == {"records": 2}


def test_a_newer_schema_is_refused_with_both_versions(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", "certificate", 3, {})
    with pytest.raises(ArtifactError, match=r"schema version 3.*up to 2; install a newer byheart"):
        read_json(tmp_path / "a.json", "certificate", 2)


def test_another_kind_is_refused(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", "bundle", 1, {})
    with pytest.raises(ArtifactError, match=r"a\.json is not a byheart certificate"):
        read_json(tmp_path / "a.json", "certificate", 1)


def test_a_missing_file_is_refused_with_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="does not exist; expected a byheart certificate there"):
        read_json(tmp_path / "a.json", "certificate", 1)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b'"kind"',
        b"[]",
        b"\xff\xfe\x00",
        b'{"schema_version": 1}',
        b'{"kind": "certificate"}',
        json.dumps({"kind": "certificate", "schema_version": "1"}).encode(),
        json.dumps({"kind": "certificate", "schema_version": None}).encode(),
    ],
)
def test_a_file_that_is_no_certificate_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(ArtifactError, match=r"a\.json"):
        read_json(tmp_path / "a.json", "certificate", 1)


@given(st.binary(max_size=60))
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_lies_in_its_place_is_refused_as_no_artefact(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(ArtifactError):
        read_json(tmp_path / "a.json", "certificate", 1)


def test_a_certificate_cut_anywhere_is_refused(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", "certificate", 1, {"records": [1, 2, 3]})
    whole = (tmp_path / "a.json").read_bytes().rstrip()
    for length in range(len(whole)):
        (tmp_path / "a.json").write_bytes(whole[:length])
        with pytest.raises(ArtifactError):
            read_json(tmp_path / "a.json", "certificate", 1)


def test_a_directory_in_the_files_place_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="cannot read"):
        read_json(tmp_path, "certificate", 1)


def test_json_nested_beyond_all_reason_is_told_as_no_json_of_ours(tmp_path):
    path = tmp_path / "deep.json"
    path.write_text("[" * 200_000)
    with pytest.raises(ArtifactError, match="is not the JSON of"):
        read_json(path, "certificate", 1)
