import os
import subprocess
import sys

import pytest

from byheart.artifacts import LOCK_FILE, locked
from byheart.errors import ArtifactError


def try_to_lock(directory) -> str:
    """What a second process is told."""
    script = (
        "import sys; from pathlib import Path; from byheart.artifacts import locked\n"
        "try:\n    with locked(Path(sys.argv[1])): print('in')\n"
        "except OSError as error: print(type(error).__name__, error)"
    )
    return subprocess.run([sys.executable, "-c", script, directory], capture_output=True, text=True, check=True).stdout


def test_a_second_process_is_kept_out_and_told_by_whom_and_what_to_do(tmp_path):
    with locked(tmp_path):
        told = try_to_lock(tmp_path)
    assert told == (
        f"ArtifactError {tmp_path} is in use by process {os.getpid()}; wait until that ends, or choose another --out\n"
    )
    assert try_to_lock(tmp_path) == "in\n"


def test_the_first_keeps_its_lock_and_its_number_when_a_second_was_kept_out(tmp_path):
    with locked(tmp_path):
        assert try_to_lock(tmp_path) == try_to_lock(tmp_path) != "in\n"


def test_a_lock_without_a_number_still_locks(tmp_path):
    with locked(tmp_path):
        (tmp_path / LOCK_FILE).write_text("")
        with pytest.raises(ArtifactError, match="is in use by another process"), locked(tmp_path):
            pass


def test_a_lock_file_that_nobody_holds_is_in_nobodys_way(tmp_path):
    (tmp_path / LOCK_FILE).write_text("1")
    with locked(tmp_path):
        assert (tmp_path / LOCK_FILE).read_text() == str(os.getpid())


def test_nothing_is_left_of_a_lock(tmp_path):
    with pytest.raises(KeyError), locked(tmp_path / "a"):
        raise KeyError
    with locked(tmp_path / "b"):
        (tmp_path / "b" / "result").write_text("")
    (tmp_path / "c").mkdir()
    with locked(tmp_path / "c"):
        pass
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")) == ["b", "b/result", "c"]


def test_a_place_that_cannot_be_locked_is_told(tmp_path):
    (tmp_path / LOCK_FILE).mkdir()
    with pytest.raises(ArtifactError, match=f"cannot lock {tmp_path}: .*; choose another --out"), locked(tmp_path):
        pass
