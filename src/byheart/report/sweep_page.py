"""A sweep's page: the law and how far to trust it, heat maps, each cell's tokens, and the table of them all."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence

from byheart.law.cells import Axis
from byheart.report.blocks import Block, Facts, HeatMaps, Listing, Page, Prose, Section, Table, Value
from byheart.report.cell_curves import cell_curves
from byheart.report.course_curves import course_curves
from byheart.report.dynamics_blocks import dynamics_blocks, probability_histogram
from byheart.report.heat_maps import QUANTITIES, heat_map
from byheart.report.law_blocks import law_blocks
from byheart.report.sweep_files import Row, SweepFiles
from byheart.sweep.results import GRID_FILE

_FIRST_COLUMNS = ("cell", "status", "task", "method", "placement", "seed")
_NUMBERS = (
    "lora_rank",
    "num_parameters",
    "num_answer_tokens",
    "nll_before_nats",
    "nll_after_nats",
    "nll_drop_nats",
    "token_accuracy",
    "exact_match",
    "unseen_exact_match",
    "min_probability",
    "earliest_stubborn_position",
    "first_failure_position",
    "epochs",
    "stop_reason",
    "has_converged",
    "train_seconds",
    "error",
)


def sweep_page(files: SweepFiles) -> Page:
    """The page of a sweep. It never holds any text of records."""
    found = files.dynamics
    num_failed = len(files.rows) - len(files.done)
    sections = [Section("Summary", [Facts(_headline(files), is_headline=True)])]
    axis: Axis = files.fits.axis if files.fits else "lora_rank"
    if files.fits:
        sections.append(Section("The law", law_blocks(files.fits, files.rows)))
    else:
        sections.append(
            Section("The law", [Prose("No law is fitted yet: byheart fit does it, and the next page shows it.")])
        )
    if files.done:
        sections.append(Section("Size and length", [heat_maps(files, axis)]))
    sections.append(Section("Convergence", _convergence(files)))
    if found is not None:
        sections.append(Section("Probabilities by position", cell_curves(files.done, files.records)))
        sections.append(Section("Token dynamics", [*dynamics_blocks(found), probability_histogram(found)]))
    sections.append(Section("Cells", [cells_table(files.rows)]))
    sections.append(Section("How it was made", _provenance(files)))
    return Page(files.name, _sentence(files), num_failed == 0, sections)


def _sentence(files: SweepFiles) -> str:
    num_exact = sum(row["exact_match"] == 1 for row in files.done)
    told = (
        f"{len(files.done):,} of {len(files.rows):,} cells ran to their end, {num_exact:,} with every record recalled"
    )
    if files.fits is None:
        return f"{told}."
    fits = files.fits.fits or files.fits.all_fits
    if len(fits) == 1:
        return f"{told}; {fits[0].law}, R² {fits[0].quality.r_squared:.3f} over {fits[0].counts.used:,} cells."
    lowest = min(fit.quality.r_squared for fit in fits)
    return f"{told}; the law fits each of {len(fits):,} groups of them with R² {lowest:.3f} or more."


def _headline(files: SweepFiles) -> list[tuple[str, str]]:
    done = files.done
    rows = [("cells done", f"{len(done):,} of {len(files.rows):,}")]
    if done:
        ranks, lengths = ({row[name] for row in done} for name in ("lora_rank", "num_answer_tokens"))
        rows += [
            ("ranks", _range(ranks)),
            ("answer tokens", _range(lengths)),
            ("largest fall of the loss", f"{max(row['nll_drop_nats'] for row in done):.3g} nats"),
        ]
    if files.fits:
        agreed = [fit.quality for fit in files.fits.fits or files.fits.all_fits]
        each = " (worst group)" if len(agreed) > 1 else ""
        rows += [
            (f"R² of the law{each}", f"{min(quality.r_squared for quality in agreed):.3f}"),
            (f"MAPE of the law{each}", f"{max(quality.mape for quality in agreed):.1%}"),
        ]
    return rows


def _range(values: set[int]) -> str:
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def heat_maps(files: SweepFiles, axis: Axis) -> HeatMaps:
    """Each quantity of each group over size and length; repeats are averaged."""
    views = {}
    for quantity in QUANTITIES:
        for group, rows in files.groups().items():
            if found := heat_map(rows, quantity, axis):
                views[f"{quantity}: {group}"] = found
    return HeatMaps("Over adapter size and answer length", views)


def _convergence(files: SweepFiles) -> list[Block]:
    done = files.done
    unsettled = [row for row in done if not row["has_converged"]]
    reasons = Counter(row["stop_reason"] or "not told" for row in done)
    rows: list[tuple[str, Value]] = [
        ("cells that had settled", f"{len(done) - len(unsettled):,} of {len(done):,}"),
        *((f"stopped: {reason}", count) for reason, count in sorted(reasons.items())),
    ]
    blocks: list[Block] = [Facts(rows), *course_curves(files)]
    if unsettled:
        blocks.append(
            Prose(
                "Cells that were still improving when their budget ended measure the budget and not the adapter; the "
                "law leaves them out."
            )
        )
        columns = ("cell", "lora_rank", "num_answer_tokens", "epochs", "nll_after_nats")
        table = [[row[name] for name in columns] for row in unsettled]
        blocks.append(Table("Cells that had not settled", [name.replace("_", " ") for name in columns], table))
    return blocks


def cells_table(rows: Sequence[Row]) -> Table:
    """Every cell: what it was and what it measured."""
    own = sorted(name for name in rows[0] if name.startswith("task."))
    names = [*_FIRST_COLUMNS, *own, *_NUMBERS]
    shown = [name for name in names if any(row.get(name) is not None for row in rows)]
    return Table(
        "Every cell", [name.replace("_", " ") for name in shown], [[row[name] for name in shown] for row in rows]
    )


def _provenance(files: SweepFiles) -> list[Block]:
    """Versions and numerics, and the commands that do it again, given in the sweep's own directory."""
    commands = [["byheart", "sweep", GRID_FILE, "--out", "again"]] if files.has_grid else []
    if files.fits:
        directory = "again" if files.has_grid else "."
        commands.append(["byheart", "fit", directory, "--by", files.fits.group_by, "--axis", files.fits.axis])
    blocks: list[Block] = [Facts(cells_provenance(files))]
    if commands:
        blocks.append(Listing("In the sweep's directory, what does it again", "\n".join(map(shlex.join, commands))))
    if not files.has_grid:
        blocks.append(Prose("Its grid is not kept beside the table; every setting of a cell is in its result.json."))
    elif any(row.get("task.source") is not None for row in files.rows):
        blocks.append(
            Prose(
                "Files that the grid names as source are not kept; a relative one is sought where the command is given."
            )
        )
    return blocks


def cells_provenance(files: SweepFiles) -> list[tuple[str, Value]]:
    """Which base model, numerics and versions the cells had, as far as they tell, and how long they took."""
    columns = {
        "base model": "model",
        "base weights, sha256": "base_weights_sha256",
        "dtype": "dtype",
        "device": "device",
        "threads": "num_threads",
        "byheart version": "byheart_version",
        "torch version": "torch_version",
        "transformers version": "transformers_version",
    }
    rows: list[tuple[str, Value]] = []
    for label, column in columns.items():
        if values := sorted({str(row[column]) for row in files.rows if row.get(column) is not None}):
            rows.append((label, ", ".join(values)))
    seconds = [row["seconds"] for row in files.done if row["seconds"] is not None]
    if seconds:
        rows.append(("time of all cells", f"{sum(seconds):,.0f} s"))
    return rows
