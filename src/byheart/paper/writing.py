"""Findings → the files of a reproduction: tables, figures, what they come to, and the marker that names them all.

What earlier calls made of the same preset stays in the marker, so that tables and figures may be asked for one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from byheart.errors import ArtifactError, InterruptedRunError, NewerSchemaError
from byheart.law.fits import LAW_FILE
from byheart.paper.exhibits import EXHIBITS
from byheart.paper.findings import Findings
from byheart.paper.law_tables import law_document, law_fits
from byheart.paper.published import PAPER_MODELS
from byheart.paper.table import Table
from byheart.paper.verdicts import verdicts
from byheart.report.figures import save
from byheart.report.reproduction_files import Contents, StoredExhibit, StoredTable
from byheart.sweep.progress import SweepReporter

TABLES, FIGURES = "tables", "figures"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a reproduction's cells come from.

    Attributes:
        preset: its name, or a YAML file.
        model: in the place of the preset's own; None: that.
    """

    preset: str
    model: str | None


@dataclass(frozen=True, slots=True)
class Reproduction:
    """What a call has made.

    Attributes:
        findings: the results behind it.
        tables: their files.
        figures: their files.
        missing: what could not be made, and why.
    """

    findings: Findings
    tables: tuple[Path, ...]
    figures: tuple[Path, ...]
    missing: tuple[str, ...]


def write(
    names: Sequence[str],
    findings: Findings,
    origin: Origin,
    reporter: SweepReporter,
    interrupted: Callable[[], bool],
) -> Reproduction:
    """Makes exhibits, and writes them with all that belongs to them.

    Args:
        names: of exhibits.
        findings: what they are made of.
        origin: of the findings.
        reporter: told what is made.
        interrupted: asked before each.

    Raises:
        ArtifactError: a file cannot be written, or a newer byheart made what is there.
        InterruptedRunError: ``interrupted`` said so; the marker is as it was.
    """
    directory, before = findings.directory, _earlier(findings)
    tables: list[Path] = []
    figures: list[Path] = []
    made: dict[str, StoredExhibit] = {}
    reporter.say("making " + ", ".join(names))
    for name in names:
        if interrupted():
            raise InterruptedRunError(f"all cells have a result; {name} is not made yet")
        exhibit = EXHIBITS[name].make(findings)
        written = [file for table in exhibit.tables for file in table.save(directory / TABLES)]
        drawn = [
            file for title, figure in exhibit.figures.items() for file in save(figure, directory / FIGURES / title)
        ]
        tables += written
        figures += drawn
        made[name] = StoredExhibit(
            files=tuple(str(file.relative_to(directory)) for file in (*written, *drawn)),
            tables=tuple(map(_stored, exhibit.tables)),
            missing=tuple(exhibit.missing),
        )
    missing = tuple(dict.fromkeys(reason for exhibit in made.values() for reason in exhibit.missing))
    exhibits = {**(before.exhibits if before else {}), **made}
    exhibits = {name: exhibits[name] for name in EXHIBITS if name in exhibits}
    _conclude(findings, origin, exhibits, before)
    return Reproduction(findings, tuple(tables), tuple(figures), missing)


def _conclude(findings: Findings, origin: Origin, exhibits: dict[str, StoredExhibit], before: Contents | None) -> None:
    """Writes the laws, what all comes to, and the marker; where no cell was looked at, they stay as they were."""
    directory, preset = findings.directory, findings.preset
    experiments = {name: tuple(each.name for each in results) for name, results in findings.results.items()}
    groups = {} if before is None else before.law_groups
    found = None if before is None else before.findings
    if experiments:
        fits = law_fits(findings)
        groups = {each.name: tuple(cell.name for cell in each.cells) for each in fits}
        if (laws := law_document(fits)) is not None:
            laws.save(directory / LAW_FILE)
        else:
            (directory / LAW_FILE).unlink(missing_ok=True)
        claims = verdicts(findings, fits)
        if claims is not None:
            claims.save(directory)
        found = None if claims is None else _stored(claims)
    Contents(
        preset=origin.preset,
        preset_fingerprint=preset.fingerprint,
        model=origin.model,
        about=preset.about,
        published_model=PAPER_MODELS[preset.paper_model],
        exhibits=exhibits,
        experiments=experiments or (before.experiments if before else {}),
        law_groups=groups,
        missing=tuple(dict.fromkeys(reason for exhibit in exhibits.values() for reason in exhibit.missing)),
        findings=found,
    ).save(directory)


def _earlier(findings: Findings) -> Contents | None:
    """What was made of the same preset; None where that is nothing, or cannot be read and is written anew.

    Raises:
        NewerSchemaError: a newer byheart made it, which is not written over.
    """
    try:
        contents = Contents.read(findings.directory)
    except NewerSchemaError:
        raise
    except ArtifactError:
        return None
    return contents if contents.preset_fingerprint == findings.preset.fingerprint else None


def _stored(table: Table) -> StoredTable:
    return StoredTable.model_validate(asdict(table.for_people()))
