"""What a sweep left, read as a page wants it: the table, the law where it is fitted, the tokens of each cell."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from byheart.certification.dynamics import Dynamics, RecordDynamics
from byheart.errors import ArtifactError
from byheart.law.fits import LAW_FILE, LawFits
from byheart.law.observation import DONE
from byheart.sweep.course import Course, course_of
from byheart.sweep.results import CELLS, GRID_FILE, TOKENS_FILE, read_results, read_tokens
from byheart.sweep.texts import texts_of
from byheart.sweep.token_dynamics import whole_dynamics

Row = Mapping[str, Any]
LONG_TEXTS = "long-context"
_MAY_GROUP = ("model", "task", "method", "placement")
_SIZES = {"task.num_answer_tokens", "task.num_pairs", "task.num_records"}
"""Settings of a task that only say how large it is."""


@dataclass(frozen=True)
class SweepFiles:
    """A sweep.

    Attributes:
        name: what to call it.
        rows: of its table, one a cell.
        fits: the laws; None where none was fitted.
        records: cell → its records, token by token; cells whose tokens are not there are not in it.
        courses: cell → its epochs; cells that kept none are not in it.
        has_grid: whether its grid lies beside the table.
    """

    name: str
    rows: Sequence[Row]
    fits: LawFits | None
    records: Mapping[str, Sequence[RecordDynamics]]
    courses: Mapping[str, Course] = field(default_factory=dict)
    has_grid: bool = False

    @classmethod
    def read(cls, directory: Path, advance: Callable[[int], None] = lambda _: None) -> Self:
        """The files in the directory of a sweep.

        Args:
            directory: what ``byheart sweep`` wrote.
            advance: told of each cell.

        Raises:
            ArtifactError: there is no table, no cell in it, or a file is damaged.
            SettingsError: pyarrow is not installed.
        """
        rows = read_results(directory).to_pylist()
        if not rows:
            raise ArtifactError(f"{directory} has no cell with a result yet; the same 'byheart sweep' again runs them")
        path = directory / LAW_FILE
        records: dict[str, Sequence[RecordDynamics]] = {}
        courses: dict[str, Course] = {}
        for row in rows:
            name = row["cell"]
            folder = directory / CELLS / name
            if (folder / TOKENS_FILE).is_file():
                tokens = read_tokens(directory, name)
                records[name] = whole_dynamics(tokens, folder)
                if (course := course_of(tokens, folder)) is not None:
                    courses[name] = course
            advance(1)
        fits = LawFits.read(path) if path.is_file() else None
        has_grid = (directory / GRID_FILE).is_file()
        return cls(directory.resolve().name, rows, fits, records, courses, has_grid)

    @property
    def done(self) -> list[Row]:
        """The cells that ran to their end."""
        return [row for row in self.rows if row["status"] == DONE]

    @property
    def dynamics(self) -> Dynamics | None:
        """Of every record of every cell; None where no cell has its tokens."""
        records = tuple(record for cell in self.records.values() for record in cell)
        return Dynamics(records) if records else None

    def groups(self) -> dict[str, list[Row]]:
        """The cells that ran, by what else than size differs between them: model, task and its settings, method,
        placement.
        """
        columns = [*_MAY_GROUP, *(name for name in self.rows[0] if name.startswith("task.") and name not in _SIZES)]
        differing = [name for name in columns if len({str(row[name]) for row in self.rows}) > 1] or ["task"]
        groups: dict[str, list[Row]] = {}
        for row in self.done:
            groups.setdefault(", ".join(str(row[name]) for name in differing), []).append(row)
        return dict(sorted(groups.items()))


def content_of(row: Row) -> str:
    """What a cell learnt: its task and, of long texts, which."""
    if row["task"] != LONG_TEXTS:
        return row["task"]
    task = {name: row.get(f"task.{name}") for name in ("random_ratio", "source")}
    return f"{LONG_TEXTS}, {texts_of(task).name}"
