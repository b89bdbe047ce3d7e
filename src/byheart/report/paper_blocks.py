"""The paper's figures as blocks of a page: landscapes by method, convergence by method, and those of the law."""

from __future__ import annotations

from collections.abc import Sequence

from byheart.certification.dynamics import Dynamics
from byheart.report.blocks import Block, Chart, Charts, HeatMap, HeatMaps
from byheart.report.cell_curves import cell_curves
from byheart.report.course_curves import course_charts, course_lines, curriculum_note
from byheart.report.dynamics_blocks import dynamics_blocks, probability_histogram
from byheart.report.heat_maps import heat_map
from byheart.report.law_blocks import law_blocks
from byheart.report.reproduction_files import GROUP, ReproductionFiles
from byheart.report.sweep_files import LONG_TEXTS, Row, content_of


def law_figure(files: ReproductionFiles) -> list[Block]:
    """Figure 2: the law over rank and length, predicted against measured, loss and accuracy as heat maps."""
    rows = files.law_rows()
    blocks = [] if files.fits is None else law_blocks(files.fits, rows)
    views: dict[str, HeatMap] = {}
    for quantity in ("final loss (nats)", "token accuracy"):
        for group in files.contents.law_groups:
            mine = [row for row in rows if row[GROUP] == group and row["status"] == "done"]
            if found := heat_map(mine, quantity):
                views[f"{quantity}: {group}"] = found
    return [*blocks, HeatMaps("Final loss and token accuracy over rank and length", views)] if views else blocks


def dynamics_figure(files: ReproductionFiles) -> list[Block]:
    """Figure 3, of every long text that was learnt."""
    rows = [row for row in files.rows("law", LONG_TEXTS) if row["task"] == LONG_TEXTS]
    known = {} if files.sweep is None else files.sweep.records
    records = tuple(record for row in rows for record in known.get(row["cell"], ()))
    if not records:
        return []
    found = Dynamics(records)
    return [*dynamics_blocks(found), probability_histogram(found)]


def landscapes(files: ReproductionFiles) -> list[Block]:
    """Figures 4–6: accuracy over rank and length, method by method."""
    views: dict[str, HeatMap] = {}
    for experiment, quantity in ((LONG_TEXTS, "token accuracy"), ("phonebook-equal", "exact match")):
        rows = files.rows(experiment)
        for what in sorted({content_of(row) for row in rows}):
            for method in _methods(rows):
                mine = [row for row in rows if row["method"] == method and content_of(row) == what]
                if found := heat_map(mine, quantity):
                    views[f"{quantity}, {what}: {method}"] = found
    return [HeatMaps("Accuracy over rank and length", views)] if views else []


def convergence(files: ReproductionFiles) -> list[Block]:
    """Figures 7–9: loss and stubborn tokens over epochs, a method each on the same axes, a line a cell."""
    known = {} if files.sweep is None else files.sweep.courses
    rows = [row for row in files.rows("convergence") if row["cell"] in known]
    if not rows:
        return []
    courses = {row["cell"]: known[row["cell"]] for row in rows}
    num_epochs = max(len(course.nll_nats) for course in courses.values())
    top_nats = max(max(course.nll_nats) for course in courses.values())
    views: dict[str, Chart] = {}
    for method in _methods(rows):
        mine = sorted((row for row in rows if row["method"] == method), key=lambda row: (row["lora_rank"], row["cell"]))
        lines = course_lines(mine, [courses[row["cell"]] for row in mine])
        views[f"loss: {method}"], views[f"stubborn tokens: {method}"] = course_charts(
            lines, num_epochs, top_nats, curriculum_note([method])
        )
    return [Charts("Convergence, as training saw it", views)]


def probability_grid(files: ReproductionFiles) -> list[Block]:
    """Figures 10–13: p over position for each long text, rank and method."""
    rows = [row for row in files.rows("law", LONG_TEXTS) if row["task"] == LONG_TEXTS]
    if files.sweep is None or not any(row["cell"] in files.sweep.records for row in rows):
        return []
    return cell_curves(rows, files.sweep.records)


def _methods(rows: Sequence[Row]) -> list[str]:
    """In the order in which they were run."""
    return list(dict.fromkeys(row["method"] for row in rows))
