"""A table as a record: columns, rows, notes; written as Markdown for people and as CSV for programs.

CSV has every digit and an empty field where nothing is known; Markdown rounds, and shows a dash there. People
read a long text that would stand in every row in a note.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from byheart.artifacts import write_bytes

Value: TypeAlias = str | int | float | None
_NOTHING = "–"
_LONG_CHARACTERS = 24


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes:
        name: in CSV, with its unit.
        title: in Markdown.
        decimals: of numbers with a fraction, in Markdown; None: four significant digits.
    """

    name: str
    title: str
    decimals: int | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """A table.

    Attributes:
        name: of its files.
        title: what stands above it.
        columns: from left to right.
        rows: a value for each column.
        notes: sentences below it.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Value, ...], ...]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        assert all(len(row) == len(self.columns) for row in self.rows), f"{self.name}: rows do not fit the columns"

    def to_csv(self) -> str:
        """As CSV, a header line first."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([column.name for column in self.columns])
        writer.writerows([["" if value is None else value for value in row] for row in self.rows])
        return text.getvalue()

    def for_people(self) -> Table:
        """The table without columns of one long text, which a note tells instead."""
        alike = {
            at: column.title
            for at, column in enumerate(self.columns)
            if len(texts := {row[at] for row in self.rows}) == 1 < len(self.rows)
            and isinstance(text := next(iter(texts)), str)
            and len(text) > _LONG_CHARACTERS
        }
        kept = [at for at in range(len(self.columns)) if at not in alike]
        return replace(
            self,
            columns=tuple(self.columns[at] for at in kept),
            rows=tuple(tuple(row[at] for at in kept) for row in self.rows),
            notes=(*(f"{title}, every row: {self.rows[0][at]}" for at, title in alike.items()), *self.notes),
        )

    def to_markdown(self) -> str:
        """As Markdown: title, table, notes."""
        head = [column.title for column in self.columns]
        lines = [_line(head), _line(["---:" if self._is_number(at) else "---" for at in range(len(head))])]
        for row in self.rows:
            lines.append(_line([_shown(value, column) for value, column in zip(row, self.columns, strict=True)]))
        notes = "".join(f"- {_escaped(note)}\n" for note in self.notes)
        return f"# {_escaped(self.title)}\n\n" + "\n".join(lines) + "\n" + (f"\n{notes}" if notes else "")

    def save(self, directory: Path) -> tuple[Path, Path]:
        """Writes ``name.md``, as people read it, and ``name.csv``; each whole or not at all."""
        files = directory / f"{self.name}.md", directory / f"{self.name}.csv"
        for file, text in zip(files, (self.for_people().to_markdown(), self.to_csv()), strict=True):
            write_bytes(file, text.encode("utf-8"))
        return files

    def _is_number(self, at: int) -> bool:
        values = [row[at] for row in self.rows if row[at] is not None]
        return bool(values) and not any(isinstance(value, str) for value in values)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _shown(value: Value, column: Column) -> str:
    if value is None:
        return _NOTHING
    if isinstance(value, str):
        return _escaped(value) or _NOTHING
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if column.decimals is None else f"{value:.{column.decimals}f}"


def _escaped(text: str) -> str:
    """Text that Markdown shows as it is: no markup, no second column, one line."""
    for sign in ("\\", "|", "<", "`", "*", "_", "["):
        text = text.replace(sign, f"\\{sign}" if sign != "<" else "&lt;")
    return " ".join(text.split())
