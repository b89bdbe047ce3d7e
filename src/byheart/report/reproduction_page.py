"""A reproduction's page: what was found, every table with the published numbers beside ours, every figure, and how it
was made.

Figures are the page's own wherever their cells are there; where they are not, they are shown as they were printed.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from byheart.report.blocks import Block, Facts, Figure, Listing, Page, Prose, Section, Table, Value, image_source
from byheart.report.paper_blocks import convergence, dynamics_figure, landscapes, law_figure, probability_grid
from byheart.report.reproduction_files import THRESHOLD_CLAIM, Contents, ReproductionFiles, StoredTable
from byheart.report.sweep_page import cells_provenance, cells_table

MOST_PICTURE_BYTES = 3_000_000
"""Of all printed figures of a page together; a third more as an address."""

_FIGURES: tuple[tuple[str, str, Callable[[ReproductionFiles], list[Block]], str], ...] = (
    ("figure2", "Figure 2: the law", law_figure, "The law over rank and length, or cells' loss or accuracy over both"),
    ("figure3", "Figure 3: token dynamics", dynamics_figure, "p by position and rank; earliest stubborn token and i*"),
    ("figure4-6", "Figures 4–6: accuracy by method", landscapes, "Accuracy over rank and length"),
    ("figure7-9", "Figures 7–9: convergence by method", convergence, "Loss and stubborn tokens over epochs"),
    (
        "figure10-13",
        "Figures 10–13: p by position",
        probability_grid,
        "p over position, by length and rank",
    ),
)
"""Exhibit, heading, what the page draws of the cells, and what is to be seen in it as printed."""


_VERDICTS = {
    "holds": ("holds", "hold"),
    "does not hold": ("does not hold", "do not hold"),
    "open": ("is open", "are open"),
}
"""What a claim can be found to do, and how that is said of one and of several."""


def reproduction_page(files: ReproductionFiles) -> Page:
    """The page of a reproduction. It never holds any text of records.

    Raises:
        ArtifactError: a printed figure that is needed is not there.
    """
    contents = files.contents
    tables = [table for exhibit in contents.exhibits.values() for table in exhibit.tables]
    summary: list[Block] = [Facts(_headline(files), is_headline=True), Prose(contents.about)]
    summary += [Prose(f"Missing: {reason}") for reason in contents.missing]
    sections = [Section("Summary", summary)]
    if contents.findings is not None:
        sections.append(Section("Findings", [_table(contents.findings)]))
    if tables:
        sections.append(Section("Tables", [_table(table) for table in tables]))
    sections += _figures(files)
    if files.sweep is not None:
        sections.append(Section("Cells", [cells_table(files.sweep.rows)]))
    sections.append(Section("How it was made", _provenance(files)))
    num_failed = 0 if files.sweep is None else len(files.sweep.rows) - len(files.sweep.done)
    return Page(files.name, _sentence(files), not contents.missing and not num_failed, sections)


def _sentence(files: ReproductionFiles) -> str:
    contents = files.contents
    told = f"{len(contents.exhibits):,} of the paper's tables and figures, by preset {_name(contents)}"
    if files.sweep is not None:
        told += f": {len(files.sweep.done):,} of {len(files.sweep.rows):,} cells ran to their end"
    if files.fits is not None:
        lowest = min(fit.quality.r_squared for fit in files.fits.all_fits)
        told += f"; the law fits with R² {lowest:.3f}" + (" or more" if len(files.fits.all_fits) > 1 else "")
    if contents.findings is not None:
        told += f"; of {len(contents.findings.rows):,} claims {_verdicts(contents.findings)}"
    return f"{told}."


def _verdicts(findings: StoredTable) -> str:
    at = [column.name for column in findings.columns].index("verdict")
    counts = Counter(row[at] for row in findings.rows)
    return ", ".join(
        f"{count:,} {several if count > 1 else one}"
        for verdict, (one, several) in _VERDICTS.items()
        if (count := counts[verdict])
    )


def _name(contents: Contents) -> str:
    """The preset's, without the directory that a file of one's own lies in."""
    return Path(contents.preset).name


def _headline(files: ReproductionFiles) -> list[tuple[str, Value]]:
    contents = files.contents
    rows: list[tuple[str, Value]] = [
        ("tables", sum(len(exhibit.tables) for exhibit in contents.exhibits.values())),
        ("figures", sum(file.endswith(".svg") for exhibit in contents.exhibits.values() for file in exhibit.files)),
        ("published numbers of", contents.published_model),
    ]
    if files.sweep is not None:
        rows.append(("cells done", f"{len(files.sweep.done):,} of {len(files.sweep.rows):,}"))
    if contents.findings is not None:
        names = [column.name for column in contents.findings.columns]
        by_claim = {row[0]: dict(zip(names, row, strict=True)) for row in contents.findings.rows}
        if told := by_claim.get(THRESHOLD_CLAIM):
            rows.append(("not the argmax", f"{told['ours']} of {told['over']}"))
    if files.fits is not None:
        rows.append(("R² of the law, lowest", f"{min(fit.quality.r_squared for fit in files.fits.all_fits):.3f}"))
    return rows


def _table(table: StoredTable) -> Table:
    """As the page shows it: rounded as in print."""

    def shown(value: Value, decimals: int | None) -> Value:
        return round(value, decimals) if isinstance(value, float) and decimals is not None else value

    decimals = [column.decimals for column in table.columns]
    rows = [[shown(*pair) for pair in zip(row, decimals, strict=True)] for row in table.rows]
    return Table(table.title, [column.title for column in table.columns], rows, table.notes)


def _figures(files: ReproductionFiles) -> list[Section]:
    sections: list[Section] = []
    room = MOST_PICTURE_BYTES
    for exhibit, heading, draw, description in _FIGURES:
        if exhibit not in files.contents.exhibits:
            continue
        blocks = draw(files)
        # Of the grid the page itself shows a panel at a time; printed it is there at a glance.
        if not blocks or exhibit == "figure10-13":
            pictures = files.pictures(exhibit)
            taken = _that_fit(pictures, room)
            room -= sum(path.stat().st_size for path in taken)
            printed: list[Block] = [Figure(_title(path), image_source(path), description) for path in taken]
            if num_left := len(pictures) - len(taken):
                printed.append(Prose(f"{num_left:,} printed figures are too large for a page; they are in figures/."))
            blocks = [*printed, *blocks]
        if blocks:
            sections.append(Section(heading, blocks))
    return sections


def _title(picture: Path) -> str:
    """A printed figure's caption.

    >>> _title(Path("figures/figure2c-phonebook-final-loss.svg"))
    'Figure 2c: phonebook final loss'
    """
    number, _, what = picture.stem.removeprefix("figure").partition("-")
    return f"Figure {number}: {what.replace('-', ' ')}" if what else f"Figure {number}"


def _that_fit(paths: Sequence[Path], room: int) -> list[Path]:
    """The first paths whose files have no more than so many bytes together."""
    taken: list[Path] = []
    for path in paths:
        room -= path.stat().st_size
        if room < 0:
            break
        taken.append(path)
    return taken


def _provenance(files: ReproductionFiles) -> list[Block]:
    contents = files.contents
    rows: list[tuple[str, Value]] = [("preset", _name(contents)), ("preset's fingerprint", contents.preset_fingerprint)]
    if files.sweep is not None:
        rows += cells_provenance(files.sweep)
    return [Facts(rows), Listing("The command that does it again", _command(contents))]


def _command(contents: Contents) -> str:
    model = [] if contents.model is None else ["--model", contents.model]
    again = ["--preset", _name(contents), "--out", "again", *model]
    return shlex.join(["byheart", "reproduce", *contents.exhibits, *again])
