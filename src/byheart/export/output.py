"""Where an export is written: a directory that is whole or absent, and that nobody else's files are in."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from safetensors import SafetensorError

from byheart.artifacts import read_json, write_json
from byheart.errors import ArtifactError
from byheart.export.request import ExportRequest

MARKER = "byheart-export.json"
KIND = "export"
SCHEMA_VERSION = 1


def refuse_occupied(request: ExportRequest) -> None:
    """Makes sure that nothing but an earlier export is where one is to be written.

    Raises:
        ArtifactError: something else is, or something was added to an earlier export.
    """
    out = request.out
    if not out.exists():
        return
    if request.name == "gguf":
        if not _is_own_gguf(out):
            raise ArtifactError(f"{out} is there already and is no GGUF file of byheart's; choose another --out")
        return
    is_export = out.is_dir() and ((out / MARKER).is_file() or not any(out.iterdir()))
    if not is_export:
        raise ArtifactError(f"{out} is there already and is no export of byheart's; choose another --out")
    if strange := _strangers(out):
        raise ArtifactError(
            f"{out} is an export, but {', '.join(strange[:3])} in it is not of it, and would be lost; move that away, "
            "or choose another --out"
        )


def _is_own_gguf(path: Path) -> bool:
    """Whether a file is an adapter that byheart had converted; a base model lies where it lies."""
    from gguf import GGUFReader

    try:
        fields = GGUFReader(path).fields
        return fields["general.type"].contents() == "adapter" and "byheart" in fields["general.tags"].contents()
    except (OSError, ValueError, LookupError):
        return False


def _strangers(directory: Path) -> list[str]:
    """What is in a directory beside the files of the export that its marker tells of."""
    marker = directory / MARKER
    own = read_json(marker, KIND, SCHEMA_VERSION).get("files", []) if marker.is_file() else []
    return sorted({path.name for path in directory.iterdir()} - {MARKER, *own})


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
        files = sorted(path.name for path in working.iterdir())
        content = {"to": request.name, "adapter_sha256": adapter_sha256, "files": files}
        write_json(working / MARKER, KIND, SCHEMA_VERSION, content)
        working.chmod(0o755)
        former = working.with_name(f"{working.name}.former")
        with contextlib.suppress(FileNotFoundError):
            out.rename(former)
        try:
            working.rename(out)
        except OSError:
            with contextlib.suppress(FileNotFoundError):
                former.rename(out)
            raise
        shutil.rmtree(former, ignore_errors=True)
    except ArtifactError:
        raise
    except (OSError, SafetensorError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise ArtifactError(
            f"cannot write {out}: {reason or error}; free some space, or choose another --out"
        ) from error
    finally:
        shutil.rmtree(working, ignore_errors=True)
