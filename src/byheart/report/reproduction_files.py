"""What ``byheart reproduce`` leaves, read as a page wants it.

OUT/reproduction.json   what was made, its tables, and which cells each experiment has; written last
OUT/law.json            the laws behind Table 1
OUT/sweep               the cells, where they are still there: tables and figures can be kept without them
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from byheart.artifacts import read_json, write_json
from byheart.errors import ArtifactError
from byheart.law.fits import LAW_FILE, LawFits
from byheart.report.sweep_files import Row, SweepFiles
from byheart.sweep.results import TABLE_FILE

MARKER_FILE, SWEEP = "reproduction.json", "sweep"
KIND, SCHEMA_VERSION = "reproduction", 2
THRESHOLD_CLAIM = "p > 0.5 makes a token the argmax"
"""Among the findings; its row has the number of tokens that contradict it, and over how many that is."""
GROUP = "group"
"""The column by which the cells of ``law.json`` are grouped."""


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class StoredColumn(_Document):
    """A column of a table."""

    name: str
    """In CSV, with its unit."""
    title: str
    """For people."""
    decimals: int | None
    """To show; null: four significant digits."""


class StoredTable(_Document):
    """A table as people read it."""

    name: str
    """Of its files."""
    title: str
    """What stands above it."""
    columns: tuple[StoredColumn, ...]
    """From left to right."""
    rows: tuple[tuple[int | float | str | None, ...], ...]
    """A value for each column, with every digit."""
    notes: tuple[str, ...]
    """Sentences below it."""


class StoredExhibit(_Document):
    """A table or figure of the paper, as it was made."""

    files: tuple[str, ...]
    """Below the directory."""
    tables: tuple[StoredTable, ...]
    """Those among the files."""
    missing: tuple[str, ...]
    """What could not be made, and why."""


class Contents(_Document):
    """What a reproduction has made so far."""

    preset: str
    """Name or file."""
    preset_fingerprint: str
    """Of everything in it, another base model included."""
    model: str | None
    """The base model in place of the preset's own."""
    about: str
    """What the preset is for."""
    published_model: str
    """Whose published numbers stand beside ours."""
    exhibits: dict[str, StoredExhibit]
    """By name, in the paper's order."""
    experiments: dict[str, tuple[str, ...]]
    """Experiment → its cells that have a result."""
    law_groups: dict[str, tuple[str, ...]]
    """Group that the law was fitted to → its cells, saturated ones too."""
    missing: tuple[str, ...]
    """Of all exhibits."""
    findings: StoredTable | None
    """Which of the paper's claims hold; null where no cell of theirs is done."""

    def save(self, directory: Path) -> None:
        """Writes the marker, whole or not at all."""
        write_json(directory / MARKER_FILE, KIND, SCHEMA_VERSION, self.model_dump(mode="json"))

    @classmethod
    def read(cls, directory: Path) -> Self:
        """Reads what `save` wrote.

        Raises:
            ArtifactError: missing, damaged, or of another byheart.
        """
        path = directory / MARKER_FILE
        try:
            return cls.model_validate(read_json(path, KIND, SCHEMA_VERSION))
        except ValidationError as error:
            raise ArtifactError(
                f"{path} is not whole, or of an older byheart; the same 'byheart reproduce' again writes it anew, "
                "of the cells that there are"
            ) from error


@dataclass(frozen=True)
class ReproductionFiles:
    """A reproduction.

    Attributes:
        name: what to call it.
        directory: of it.
        contents: what was made.
        sweep: the cells; None where they are not there.
        fits: the laws; None where there are none.
    """

    name: str
    directory: Path
    contents: Contents
    sweep: SweepFiles | None
    fits: LawFits | None

    @classmethod
    def read(cls, directory: Path, advance: Callable[[int], None] = lambda _: None) -> Self:
        """The files in the directory of a reproduction.

        Args:
            directory: what ``byheart reproduce`` wrote.
            advance: told of each cell.

        Raises:
            ArtifactError: none, an unfinished one, or a file is damaged.
            SettingsError: pyarrow is not installed.
        """
        contents = Contents.read(directory)
        sweep, law = directory / SWEEP, directory / LAW_FILE
        return cls(
            name=directory.resolve().name,
            directory=directory,
            contents=contents,
            sweep=SweepFiles.read(sweep, advance) if (sweep / TABLE_FILE).is_file() else None,
            fits=LawFits.read(law) if law.is_file() else None,
        )

    def rows(self, *experiments: str) -> list[Row]:
        """The cells of some experiments that ran to their end, each once, in their order."""
        by_name = {} if self.sweep is None else {row["cell"]: row for row in self.sweep.done}
        names = dict.fromkeys(name for each in experiments for name in self.contents.experiments.get(each, ()))
        return [by_name[name] for name in names if name in by_name]

    def law_rows(self) -> list[Row]:
        """The cells of each group that the law was fitted to, with the group's name."""
        by_name = {} if self.sweep is None else {row["cell"]: row for row in self.sweep.rows}
        groups = self.contents.law_groups
        return [{**by_name[name], GROUP: group} for group, names in groups.items() for name in names if name in by_name]

    def pictures(self, exhibit: str) -> list[Path]:
        """The figures of an exhibit, as drawn for print.

        Raises:
            ArtifactError: one is not there, or not in the directory.
        """
        made = self.contents.exhibits.get(exhibit)
        paths = [self.directory / file for file in (made.files if made else ()) if file.endswith(".svg")]
        for path in paths:
            if not (path.is_file() and path.resolve().is_relative_to(self.directory.resolve())):
                raise ArtifactError(
                    f"{path}, which {MARKER_FILE} names, is no file of {self.directory}; the same 'byheart reproduce' "
                    "again draws it"
                )
        return paths
