import errno
from pathlib import Path

import pytest
from safetensors import SafetensorError

from byheart.errors import ArtifactError, SettingsError
from byheart.export.output import MARKER, refuse_occupied, whole_directory
from byheart.export.registry import EXPORTS
from byheart.export.request import DEFAULT_PLACES, ENGINES, EXPORT_NAMES, ExportRequest


def request(tmp_path, name="peft"):
    return ExportRequest.parse(tmp_path, name)


def test_a_directory_is_whole_or_absent(tmp_path):
    with pytest.raises(RuntimeError), whole_directory(request(tmp_path), "abc") as working:
        (working / "half").write_text("done")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_an_earlier_export_is_replaced_and_nothing_of_it_is_left(tmp_path):
    for name in ("first", "second"):
        refuse_occupied(request(tmp_path))
        with whole_directory(request(tmp_path), "abc") as working:
            (working / name).write_text(name)
    assert {path.name for path in (tmp_path / "peft").iterdir()} == {"second", MARKER}
    assert [path.name for path in tmp_path.iterdir()] == ["peft"]


def test_what_somebody_has_put_into_an_earlier_export_is_not_lost(tmp_path):
    with whole_directory(request(tmp_path), "abc") as working:
        (working / "weights").write_text("w")
    refuse_occupied(request(tmp_path))
    (tmp_path / "peft" / "notes.txt").write_text("a day's work")
    with pytest.raises(ArtifactError, match=r"but notes\.txt in it is not of it, and would be lost; move that away"):
        refuse_occupied(request(tmp_path))


def test_the_earlier_export_stays_whole_until_the_new_one_is(tmp_path):
    with whole_directory(request(tmp_path), "abc") as working:
        (working / "first").write_text("1")
    with pytest.raises(ArtifactError, match="No space left"), whole_directory(request(tmp_path), "abc") as working:
        (working / "second").write_text("2")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert {path.name for path in (tmp_path / "peft").iterdir()} == {"first", MARKER}
    assert [path.name for path in tmp_path.iterdir()] == ["peft"]


def test_the_earlier_export_comes_back_where_the_new_one_cannot_take_its_place(tmp_path, monkeypatch):
    with whole_directory(request(tmp_path), "abc") as working:
        (working / "first").write_text("1")
    rename = Path.rename

    def refusing(path: Path, target: Path) -> Path:
        if (path / "second").exists():
            raise OSError(errno.EIO, "Input/output error")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refusing)
    with pytest.raises(ArtifactError, match="Input/output"), whole_directory(request(tmp_path), "abc") as working:
        (working / "second").write_text("2")
    assert {path.name for path in (tmp_path / "peft").iterdir()} == {"first", MARKER}
    assert [path.name for path in tmp_path.iterdir()] == ["peft"]


def test_a_disk_that_is_full_amid_the_weights_is_told_with_the_mend(tmp_path):
    with (
        pytest.raises(ArtifactError, match=r"cannot write .*peft: I/O error.*; free some space"),
        whole_directory(request(tmp_path), "abc"),
    ):
        raise SafetensorError("I/O error: No space left on device (os error 28)")
    assert list(tmp_path.iterdir()) == []


def test_somebody_elses_directory_is_refused(tmp_path):
    (tmp_path / "peft").mkdir()
    refuse_occupied(request(tmp_path))  # an empty one is nobody's
    (tmp_path / "peft" / "thesis.txt").write_text("years of work")
    with pytest.raises(ArtifactError, match="is there already and is no export of byheart's"):
        refuse_occupied(request(tmp_path))


def test_every_name_has_an_export_and_a_place():
    assert set(EXPORTS) == set(EXPORT_NAMES) == set(DEFAULT_PLACES) == set(ENGINES)


def test_an_unknown_name_is_told_the_nearest(tmp_path):
    with pytest.raises(SettingsError, match=r"--to: unknown export 'olama' \(did you mean 'ollama'\?\)"):
        ExportRequest.parse(tmp_path, "olama")


def test_what_an_export_has_no_use_for_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="--check: no engine that reads --to mlx runs here"):
        ExportRequest.parse(tmp_path, "mlx", check=True)
    with pytest.raises(SettingsError, match="--base-gguf has no use for --to merged; allowed with gguf, ollama"):
        ExportRequest.parse(tmp_path, "merged", base_gguf="f16")
