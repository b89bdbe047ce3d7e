"""JSONL → records: one JSON object a line."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any, cast

from byheart.errors import Problem
from byheart.memory.fields import read_row
from byheart.memory.record import Record
from byheart.memory.text import BYTE_ORDER_MARK, quoted, utf8_problem


def read_jsonl(content: bytes, source: str) -> Iterator[Record | Problem]:
    """The record or the problems of each line; blank lines and a byte-order mark are passed over."""
    start = 0
    for number, line in enumerate(content.split(b"\n"), 1):  # splitlines would split at U+2028, which strings may hold
        where = f"{source}:{number}"
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            yield utf8_problem(error, source, line=number, start=start)
        else:
            text = text.removeprefix(BYTE_ORDER_MARK) if number == 1 else text
            if text.strip():
                yield from _read_line(text, where)
        start += len(line) + 1


def _read_line(text: str, where: str) -> list[Record | Problem]:
    try:
        row: object = json.loads(text, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        at = quoted(text[max(error.pos - 20, 0) : error.pos + 20])
        mend = "write one object a line, with names and texts in double quotes"
        return [Problem(where, f"not JSON: {error.msg} at column {error.colno}, in {at}; {mend}")]
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else error
        return [Problem(where, f"cannot be used: {reason}; write one object a line, with each field once")]
    if not isinstance(row, dict):
        return [Problem(where, f"a line must be an object with the fields of a record, got {quoted(row)}")]
    return read_row(cast("dict[str, object]", row), where)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of which no field is given twice; `json` by itself would silently keep the last."""
    fields = dict(pairs)
    if len(fields) < len(pairs):
        name, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise ValueError(f"field {quoted(name)} is given twice")
    return fields
