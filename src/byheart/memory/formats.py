"""Files → records, by what kind of file it is.

Bytes are read and decoded without translating newlines, so that every value keeps every byte. Readers give records and
problems in the order of the file and go on after a problem where they can: the user sees all that is wrong at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Literal

from pydantic import PositiveInt

from byheart.errors import Problem
from byheart.memory.chunks import count_pieces, cut
from byheart.memory.dataset import read_dataset
from byheart.memory.jsonl import read_jsonl
from byheart.memory.record import Record
from byheart.memory.table import read_csv
from byheart.memory.text import utf8_problem
from byheart.settings import Settings

_SUFFIXES = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".txt": "text",
    ".text": "text",
    ".md": "text",
    ".markdown": "text",
}


class FormatConfig(Settings):
    """How records are read from a file."""

    format: Literal["auto", "jsonl", "csv", "text", "dataset"] = "auto"
    """What the file holds; ``auto`` goes by the suffix of its name, and takes a directory for a dataset."""

    chunk_tokens: PositiveInt = 64
    """Most tokens in one piece of plain text or Markdown; the command line counts with the model's own tokenizer."""

    max_file_bytes: PositiveInt = 64 * 1024 * 1024
    """Largest file or dataset directory that is read, in bytes; of a larger one, the path is likely a mistake."""


def read_records(
    path: Path, config: FormatConfig, count_tokens: Callable[[str], int] | None = None
) -> Iterator[Record | Problem]:
    """The records of a file and whatever is wrong with it, in file order; nothing that the file holds raises.

    Args:
        path: the file, or the directory of a dataset.
        config: how to read it.
        count_tokens: tokens of a text, for cutting plain text; None for `chunks.count_pieces`.
    """
    try:
        kind, flaw = _kind(path, config)
        if flaw is not None:
            yield Problem(str(path), flaw)
        elif kind == "dataset":
            yield from read_dataset(path)
        elif kind == "jsonl":
            yield from read_jsonl(path.read_bytes(), str(path))
        elif kind == "csv":
            yield from read_csv(path.read_bytes(), str(path))
        else:
            yield from _read_text(path, config.chunk_tokens, count_tokens or count_pieces)
    except OSError as error:
        yield Problem(str(path), f"cannot be read: {error.strerror or error}")


def _kind(path: Path, config: FormatConfig) -> tuple[str, str | None]:
    """The kind of the file, and what keeps it from being read."""
    if not path.exists():
        return "", "there is no such file or directory; check the path"
    kind: str | None = config.format
    if kind == "auto":
        kind = "dataset" if path.is_dir() else _SUFFIXES.get(path.suffix.lower())
    if kind is None:
        suffixes = ", ".join(_SUFFIXES)
        return "", f"the suffix {path.suffix!r} tells no format; use one of {suffixes}, or set format"
    if (kind == "dataset") != path.is_dir():
        return "", f"format {kind!r} is not read from a {'directory' if path.is_dir() else 'file'}; set another format"
    if (num_bytes := _num_bytes(path)) > config.max_file_bytes:
        return (
            "",
            f"{num_bytes:,} bytes, over max_file_bytes = {config.max_file_bytes:,}; check the path or raise the limit",
        )
    return kind, None


def _num_bytes(path: Path) -> int:
    files: Iterable[Path] = path.rglob("*") if path.is_dir() else (path,)
    return sum(file.stat().st_size for file in files if file.is_file())


def _read_text(path: Path, chunk_tokens: int, count_tokens: Callable[[str], int]) -> Iterator[Record | Problem]:
    """A record for each piece of the text, asked for by the file's name and the piece's number."""
    try:
        text = path.read_bytes().decode()
    except UnicodeDecodeError as error:
        yield utf8_problem(error, str(path))
        return
    chunks = list(cut(text, chunk_tokens, count_tokens))
    line = 1
    for part, chunk in enumerate(chunks, 1):
        yield Record(f"{path.name}#{part}", f"{path.name}, part {part} of {len(chunks)}", chunk, f"{path}:{line}")
        line += chunk.count("\n")
