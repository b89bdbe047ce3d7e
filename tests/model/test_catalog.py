import importlib.util
import shutil
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from filelock import FileLock
from safetensors import SafetensorError

from byheart.errors import ArtifactError, ModelError
from byheart.model import catalog
from byheart.model.catalog import MARKER, cache_directory, converted_from, load_tokenizer, locate
from byheart.model.config import ModelConfig

NAME = "smollm2-135m"


@pytest.fixture
def packaged(tmp_path, monkeypatch) -> Path:
    """The package as installed, with a small file in the place of the model; conversions are counted in it."""
    package = tmp_path / "package"
    package.mkdir()
    (package / catalog.CATALOG[NAME].gguf_file).write_bytes(b"GGUF")
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: SimpleNamespace(submodule_search_locations=[str(package)])
    )
    monkeypatch.setenv("BYHEART_CACHE", str(tmp_path / "cache"))
    converted = package / "converted"

    def dequantise(gguf: Path, directory: Path) -> None:
        (directory / "config.json").write_text("{}")
        converted.write_text((converted.read_text() if converted.exists() else "") + "x")

    monkeypatch.setattr(catalog, "_dequantise", dequantise)
    return package


def test_a_short_name_is_the_hubs_where_the_package_is_absent(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    source = locate(NAME)
    assert (source.name, source.location, source.is_local) == (NAME, "HuggingFaceTB/SmolLM2-135M-Instruct", False)


def test_a_short_name_is_the_hubs_where_the_package_lacks_its_file(packaged):
    (packaged / catalog.CATALOG[NAME].gguf_file).unlink()
    assert not locate(NAME).is_local


def test_the_package_is_looked_for_and_not_imported(monkeypatch):
    monkeypatch.setattr(importlib, "import_module", lambda name: pytest.fail(f"imported {name}"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    locate(NAME)


def test_the_packaged_model_is_converted_into_the_cache(packaged):
    told = []
    source = locate(NAME, told.append)
    assert source.is_local
    assert Path(source.location).parent == cache_directory() / "models"
    assert {path.name for path in Path(source.location).iterdir()} == {"config.json", MARKER}
    assert len(told) == 1


def test_a_conversion_is_done_once(packaged):
    first = locate(NAME)
    told = []
    assert locate(NAME, told.append) == first
    assert (packaged / "converted").read_text() == "x"
    assert not told


def test_another_version_of_the_file_is_converted_anew(packaged):
    first = locate(NAME)
    (packaged / catalog.CATALOG[NAME].gguf_file).write_bytes(b"GGUF of another day")
    assert locate(NAME).location != first.location


def test_an_unfinished_conversion_is_not_taken(packaged):
    directory = Path(locate(NAME).location)
    (directory / MARKER).unlink()
    (directory / "config.json").write_text("torn")
    assert (Path(locate(NAME).location) / "config.json").read_text() == "{}"
    assert (packaged / "converted").read_text() == "xx"


KILLED = """
import importlib.util, os, signal, sys
from types import SimpleNamespace
from byheart.model import catalog

def dequantise(gguf, directory):
    (directory / "model.safetensors").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)

importlib.util.find_spec = lambda name: SimpleNamespace(submodule_search_locations=[sys.argv[1]])
catalog._dequantise = dequantise
catalog.locate(sys.argv[2])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_what_a_killed_conversion_left_is_removed_by_the_next(packaged):
    killed = subprocess.run([sys.executable, "-c", KILLED, str(packaged), NAME], check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    models = cache_directory() / "models"
    assert [path for path in models.iterdir() if (path / "model.safetensors").exists()]
    directory = Path(locate(NAME).location)
    assert list(models.iterdir()) == [directory]


def test_what_an_older_converter_left_is_removed_and_nothing_else_is(packaged):
    models = cache_directory() / "models"
    for name in (f".{NAME}-0123456789abcdef-v0.abcdefgh", ".git", "mine", f".{NAME}"):
        (models / name).mkdir(parents=True)
    directory = Path(locate(NAME).location)
    assert sorted(path.name for path in models.iterdir()) == sorted([".git", "mine", f".{NAME}", directory.name])


@pytest.fixture
def under_way(packaged, monkeypatch):
    """Two locations asked for at once: the first conversion goes on only when the second has been waiting."""
    dequantise, begun, go_on = catalog._dequantise, threading.Event(), threading.Event()

    def slow(gguf: Path, directory: Path) -> None:
        begun.set()
        assert go_on.wait(20)
        dequantise(gguf, directory)

    monkeypatch.setattr(catalog, "_dequantise", slow)
    with ThreadPoolExecutor() as threads:
        first = threads.submit(locate, NAME)
        assert begun.wait(20)
        second = threads.submit(locate, NAME)
        with pytest.raises(TimeoutError):
            second.result(0.3)
        go_on.set()
        return [each.result(20) for each in (first, second)]


def test_a_conversion_waits_for_the_one_under_way_and_takes_its_result(packaged, under_way):
    first, second = under_way
    assert first == second
    assert (packaged / "converted").read_text() == "x"
    assert list((cache_directory() / "models").iterdir()) == [Path(first.location)]


def test_where_there_are_no_locks_nothing_is_removed(packaged, monkeypatch):
    def no_lock(self: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(FileLock, "acquire", no_lock)
    perhaps_under_way = cache_directory() / "models" / f".{NAME}-0123456789abcdef-v1.abcdefgh"
    perhaps_under_way.mkdir(parents=True)
    assert (Path(locate(NAME).location) / MARKER).is_file()
    assert perhaps_under_way.is_dir()


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), SafetensorError("No space left on device")])
def test_a_conversion_that_fails_leaves_nothing_and_says_why(packaged, monkeypatch, error):
    def failing(gguf: Path, directory: Path) -> None:
        (directory / "model.safetensors").write_text("half")
        raise error

    monkeypatch.setattr(catalog, "_dequantise", failing)
    with pytest.raises(ArtifactError, match="No space left on device; free some space, or set BYHEART_CACHE"):
        locate(NAME)
    assert not list((cache_directory() / "models").iterdir())


def test_a_cache_that_cannot_be_written_is_told(packaged, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BYHEART_CACHE", str(tmp_path / "file"))
    with pytest.raises(ArtifactError, match="set BYHEART_CACHE to a directory you can write"):
        locate(NAME)


def test_a_conversion_by_a_newer_byheart_is_refused(packaged):
    marker = Path(locate(NAME).location) / MARKER
    marker.write_text(marker.read_text().replace('"schema_version": 1', '"schema_version": 2'))
    with pytest.raises(ArtifactError, match="install a newer byheart"):
        locate(NAME)


def test_a_directory_is_taken_as_it_is(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    source = locate(str(tmp_path))
    assert (source.name, source.location, source.is_local) == (str(tmp_path), str(tmp_path.resolve()), True)


def test_a_directory_wins_over_a_hub_id(tmp_path, monkeypatch):
    (tmp_path / "owner/model").mkdir(parents=True)
    (tmp_path / "owner/model/config.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    assert locate("owner/model").is_local


def test_a_directory_without_a_model_is_told(tmp_path):
    with pytest.raises(ModelError, match=r"has no config\.json"):
        locate(str(tmp_path))


def test_owner_and_model_are_a_hub_id():
    source = locate("Qwen/Qwen3-0.6B")
    assert (source.location, source.is_local) == ("Qwen/Qwen3-0.6B", False)


@pytest.mark.parametrize("name", ["nothing", "a/b/c", "./missing", "/missing/model", "~/model", ""])
def test_anything_else_is_told_with_what_there_is(name):
    with pytest.raises(ModelError, match="allowed: smollm2-135m; or an existing directory, or a hub id"):
        locate(name)


def test_another_converter_converts_anew_and_the_marker_says_which(packaged, monkeypatch):
    first = Path(locate(NAME).location)
    origin = converted_from(first)
    assert origin is not None
    assert origin["converter_version"] == catalog.CONVERTER_VERSION
    assert len(origin["gguf_sha256"]) == 64
    monkeypatch.setattr(catalog, "CONVERTER_VERSION", catalog.CONVERTER_VERSION + 1)
    second = Path(locate(NAME).location)
    assert second != first
    assert converted_from(second) == {**origin, "converter_version": catalog.CONVERTER_VERSION}


def test_a_directory_that_was_not_converted_comes_from_nothing(tmp_path):
    assert converted_from(tmp_path) is None


def test_a_tokenizer_comes_without_its_model(tiny_model_directory, tiny_base, tmp_path):
    alone = shutil.copytree(tiny_model_directory, tmp_path / "alone")
    (alone / "model.safetensors").unlink()
    tokenizer = load_tokenizer(ModelConfig(name=str(alone)))
    assert tokenizer("4711-0815")["input_ids"] == tiny_base.tokenizer("4711-0815")["input_ids"]


def test_a_tokenizer_that_cannot_be_loaded_is_told(tiny_model_directory, tmp_path):
    damaged = shutil.copytree(tiny_model_directory, tmp_path / "damaged")
    (damaged / "tokenizer.json").write_text("{")
    with pytest.raises(ModelError, match=f"cannot load the tokenizer of '{damaged}' from {damaged}: "):
        load_tokenizer(ModelConfig(name=str(damaged)))
