"""Identity of whatever is cached or compared: canonical JSON → sha256.

Two values with the same fingerprint are the same configuration, data or file. Floats are written by ``repr`` (shortest
form that reads back equal), keys are sorted, text is UTF-8, so that a fingerprint holds across processes and machines.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel


def canonical_json(value: Any) -> str:
    """``value`` as JSON with sorted keys and no spaces.

    Raises:
        TypeError: for anything but JSON's own types, pydantic models, and tuples, and for keys that are no text.
        ValueError: for NaN and infinities, which no two are equal of.
    """
    _check_keys(value)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=_plain)


def _check_keys(value: Any) -> None:
    """Refuses keys that JSON would turn into text: ``{1: x}`` and ``{"1": x}`` are two values."""
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError(f"cannot fingerprint a mapping with the key {key!r}; keys must be text")
            _check_keys(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            _check_keys(item)


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    raise TypeError(f"cannot fingerprint a {type(value).__name__}")


def fingerprint(value: Any) -> str:
    """sha256 of ``value``'s canonical JSON, 64 hexadecimal digits.

    >>> fingerprint({"b": 1, "a": 2}) == fingerprint({"a": 2, "b": 1})
    True
    """
    return hashlib.sha256(canonical_json(value).encode("utf-8", "surrogatepass")).hexdigest()


def file_sha256(path: Path) -> str:
    """sha256 of a file's bytes, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
