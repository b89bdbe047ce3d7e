"""Files that are whole or absent: written beside their place, synced, then renamed into it.

Every JSON artefact carries ``kind`` and ``schema_version``; one of a newer schema is refused, never half understood. A
directory is complete once its marker, written last, is there.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from byheart.errors import ArtifactError, NewerSchemaError

LOCK_FILE = ".byheart-lock"


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path in ``path``'s directory that becomes ``path`` when the block ends well, and is removed when it
    does not.

    Raises:
        ArtifactError: the disk is full, the directory cannot be written, or any other failing of the system, with its
            reason.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial")
        os.close(handle)
        temporary = Path(name)
        yield temporary
        _sync(temporary)
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    except OSError as error:
        raise ArtifactError(
            f"cannot write {path}: {error.strerror or error}. What was there before is unchanged; "
            "free some space or choose another place."
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # the file is whole and in its place; not every file system can sync a directory
        _sync(path.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def system_lock(path: Path, *, blocking: bool) -> FileLock:
    """A lock of the system's, which ends with its process; not taken yet. Without filelock's way out where a system has
    none: a file that stands for one would outlive its process.
    """
    return FileLock(path, blocking=blocking, fallback_to_soft=False)


def free(lock: FileLock) -> None:
    """Gives back a lock that is held, and removes its file."""
    # Removed while it is held: whoever opened it meanwhile finds it gone, and makes a new one.
    with contextlib.suppress(OSError):
        Path(lock.lock_file).unlink()
    lock.release()


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Keeps other processes out of ``directory``, which is made if need be, for the length of a block.

    The lock is the system's and ends with its process, however that ends; the file that a killed process leaves behind
    locks nothing.

    Raises:
        ArtifactError: another process is in it, or it cannot be locked.
    """
    path, is_new = directory / LOCK_FILE, not directory.exists()
    lock = system_lock(path, blocking=False)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise ArtifactError(
            f"{directory} is in use by {_holder(path)}; wait until that ends, or choose another --out"
        ) from error
    except OSError as error:
        raise ArtifactError(f"cannot lock {directory}: {error.strerror or error}; choose another --out") from error
    try:
        with contextlib.suppress(OSError):  # on a full disk the lock holds without its holder's number
            path.write_text(str(os.getpid()))
        yield
    finally:
        free(lock)
        if is_new:
            with contextlib.suppress(OSError):  # it is no longer empty
                directory.rmdir()


def _holder(path: Path) -> str:
    try:
        return f"process {int(path.read_text())}"
    except (OSError, ValueError):
        return "another process"


def write_bytes(path: Path, content: bytes) -> None:
    """Writes ``content`` to ``path``, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, kind: str, schema_version: int, content: Mapping[str, Any]) -> None:
    """Writes ``content`` as indented UTF-8 JSON headed by ``kind`` and ``schema_version``."""
    assert not {"kind", "schema_version"} & content.keys(), "the head of an artefact is not its content's to write"
    document = {"kind": kind, "schema_version": schema_version, **content}
    write_bytes(
        path,
        (json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8", "surrogatepass"),
    )


def read_json(path: Path, kind: str, schema_version: int) -> dict[str, Any]:
    """The content of a JSON artefact without its two head fields.

    Raises:
        ArtifactError: missing, unreadable, not JSON, or of another kind.
        NewerSchemaError: of a newer schema than ``schema_version``.
    """
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise ArtifactError(f"{path} does not exist; expected a byheart {kind} there") from error
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{path} is not the JSON of a byheart {kind}: {error}") from error
    if not isinstance(document, dict) or document.get("kind") != kind:
        raise ArtifactError(f"{path} is not a byheart {kind}")
    version = document.get("schema_version")
    if not isinstance(version, int):
        raise ArtifactError(f"{path} is not a byheart {kind}: it has no schema version")
    if version > schema_version:
        raise NewerSchemaError(
            f"{path} has schema version {version}, this byheart reads {kind} up to "
            f"{schema_version}; install a newer byheart to read it"
        )
    return {key: value for key, value in document.items() if key not in ("kind", "schema_version")}
