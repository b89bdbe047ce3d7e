"""CSV → records: a header that names the fields, then a record a row (RFC 4180; quoted fields may hold newlines)."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator

from byheart.errors import Problem
from byheart.memory.fields import FORMS, MESSAGES, match, read_row
from byheart.memory.record import Record
from byheart.memory.text import BYTE_ORDER_MARK, quoted, utf8_problem

_FORMS = tuple(form for form in FORMS if form is not MESSAGES)  # a conversation does not fit in a cell


def read_csv(content: bytes, source: str) -> Iterator[Record | Problem]:
    """The record or the problems of each row; empty lines and a byte-order mark are passed over.

    A row is named by the line it starts on.
    """
    try:
        text = content.decode().removeprefix(BYTE_ORDER_MARK)
    except UnicodeDecodeError as error:
        yield utf8_problem(error, source)
        return
    header: list[str] = []
    for where, cells in _rows(text, source):
        if isinstance(cells, Problem):
            yield cells
        elif not header:
            header = cells
            if flaws := _header_flaws(header):
                yield from (Problem(where, flaw) for flaw in flaws)
                return  # each row would say the same again
        elif len(cells) != len(header):
            what = f"{len(cells)} fields in the row {quoted(cells)} but {len(header)} in the header"
            yield Problem(where, f"{what}; put fields that hold commas in double quotes")
        else:
            # A row cannot leave a cell out, so an empty id is one that was not given.
            row = {name: cell for name, cell in zip(header, cells, strict=True) if cell or name != "id"}
            yield from read_row(row, where, _FORMS)


def _rows(text: str, source: str) -> Iterator[tuple[str, list[str] | Problem]]:
    """The rows that are not empty, each with where it starts; a problem is the last, as nothing is sure after it."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    while True:
        where = f"{source}:{reader.line_num + 1}"
        # Fields may be of any length, but the module has one limit for the whole process: lift it for a row at a time.
        limit = csv.field_size_limit(max(len(text), csv.field_size_limit()))
        try:
            cells = next(reader, None)
        except csv.Error as error:
            mend = "put fields with commas, quotes or newlines in double quotes, and double the quotes within them"
            yield where, Problem(where, f"not CSV: {error}; {mend}")
            return
        finally:
            csv.field_size_limit(limit)
        if cells is None:
            return
        if cells:
            yield where, cells


def _header_flaws(header: list[str]) -> list[str]:
    twice = [name for name, count in Counter(header).items() if count > 1]
    return [*match(tuple(header), _FORMS)[1], *(f"column {quoted(name)} is given twice" for name in twice)]
