"""Where an export is written: a directory that is whole or absent, and that nobody else's files are in."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from byheart.artifacts import write_json
from byheart.errors import ArtifactError
from byheart.export.request import ExportRequest

MARKER = "byheart-export.json"
KIND = "export"
SCHEMA_VERSION = 1
_GGUF_MAGIC = b"GGUF"


def refuse_occupied(request: ExportRequest) -> None:
    """Makes sure that nothing but an earlier export is where one is to be written.

    Raises:
        ArtifactError: something else is.
    """
    out = request.out
    if not out.exists():
        return
    if request.name == "gguf":
        if out.is_file() and _begins_with(out, _GGUF_MAGIC):
            return
        raise ArtifactError(f"{out} is there already and is no GGUF file; choose another --out")
    is_ours = out.is_dir() and ((out / MARKER).is_file() or not any(out.iterdir()))
    if not is_ours:
        raise ArtifactError(f"{out} is there already and is no export of byheart's; choose another --out")


def _begins_with(path: Path, magic: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(magic)) == magic


@contextlib.contextmanager
def whole_directory(request: ExportRequest, adapter_sha256: str) -> Iterator[Path]:
    """A directory to write in, which becomes ``request.out`` when the block ends well and is gone when it does not.

    Args:
        request: what is exported, and where to; an earlier export there is replaced.
        adapter_sha256: of the adapter that is exported, for the marker.

    Raises:
        ArtifactError: it cannot be written.
    """
    out = request.out
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        working = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
    except OSError as error:
        raise ArtifactError(f"cannot write {out}: {error.strerror or error}; choose another --out") from error
    try:
        yield working
        write_json(working / MARKER, KIND, SCHEMA_VERSION, {"to": request.name, "adapter_sha256": adapter_sha256})
        working.chmod(0o755)
        if out.exists():
            shutil.rmtree(out)
        working.rename(out)
    except OSError as error:
        if isinstance(error, ArtifactError):
            raise
        raise ArtifactError(
            f"cannot write {out}: {error.strerror or error}; free some space, or choose another --out"
        ) from error
    finally:
        shutil.rmtree(working, ignore_errors=True)
