"""A preset → the paper's tables and figures: the cells that have no result yet are run, then all is made of results.

    OUT/sweep                            what was measured, as a sweep leaves it
    OUT/tables/<name>.md, .csv           tables
    OUT/figures/<name>.svg, .png         figures
    OUT/findings.md, .csv                which of the paper's claims hold
    OUT/law.json                         the laws behind Table 1
    OUT/reproduction.json                what was made and what is missing, written last; `byheart report` reads it

Tables and figures share cells: one that several of them need is run once. What was stopped goes on by the same call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from byheart.artifacts import locked
from byheart.paper.exhibits import EXHIBITS, chosen
from byheart.paper.findings import SWEEP, Findings
from byheart.paper.preset import ExperimentName, read_preset
from byheart.paper.writing import Origin, Reproduction, write
from byheart.report.figures import need_matplotlib
from byheart.sweep.cell import Cell, CellResult
from byheart.sweep.driver import Sweep
from byheart.sweep.engines import Engine, build
from byheart.sweep.grid import Draft
from byheart.sweep.prepare import prepare
from byheart.sweep.progress import Silent, SweepReporter
from byheart.sweep.results import find_result, need_pyarrow, write_table

__all__ = ["Reproduction", "reproduce"]


def reproduce(
    what: Iterable[str],
    preset: str,
    out: str | Path,
    *,
    model: str | None = None,
    engine: str | Engine = "local",
    num_workers: int | None = None,
    address: str | None = None,
    retry_failed: bool = False,
    reporter: SweepReporter | None = None,
    interrupted: Callable[[], bool] = lambda: False,
) -> Reproduction:
    """Runs what tables and figures need, and makes them.

    Args:
        what: names out of `EXHIBITS`, or ``all``.
        preset: its name, or a YAML file.
        out: the directory of everything; a reproduction that was stopped there goes on.
        model: short name, directory or hub id; None: the preset's own.
        engine: where cells run: local, ray, or one of your own.
        num_workers: cells at a time; None: the engine's own choice.
        address: of a Ray cluster; None: one on this machine, for this call alone.
        retry_failed: whether cells that failed before are run again.
        reporter: told how far it is.
        interrupted: asked while cells run; True lets those end, begins no more, and raises.

    Raises:
        SettingsError, RecordsError, ModelError: before any cell runs.
        ArtifactError: ``out`` is in use, cannot be written, or holds what is damaged.
        InterruptedRunError: ``interrupted`` said so.

    Example:
        >>> reproduce(["table1", "figure2"], "tiny", "reproduction/tiny").missing                 # doctest: +SKIP
        ()
    """
    reporter = reporter or Silent()
    names, found = chosen(what), read_preset(preset).with_model(model)
    if any(EXHIBITS[name].has_figures for name in names):
        need_matplotlib()
    asked: set[ExperimentName] = {experiment for name in names for experiment in EXHIBITS[name].needs}
    if asked:
        need_pyarrow()
    chosen_engine = build(engine, found.resources, num_workers, address) if isinstance(engine, str) else engine
    drafts: dict[ExperimentName, list[Draft]] = {
        experiment: found.drafts(experiment, preset) for experiment in found.experiments
    }
    directory = Path(out)
    with locked(directory):
        cells: dict[ExperimentName, list[Cell]] = {}
        results: dict[ExperimentName, list[CellResult]] = {}
        if asked:
            every = iter(prepare([draft for each in drafts.values() for draft in each], reporter.say))
            cells = {experiment: [next(every) for _ in each] for experiment, each in drafts.items()}
            wanted = {cell.name: cell for name, each in cells.items() if name in asked for cell in each}
            took = found.took or "nobody has measured how long all of it takes"
            reporter.say(f"{len(wanted):,} cells; {took}")
            sweep = Sweep(list(wanted.values()), directory / SWEEP, reporter, interrupted)
            try:
                sweep.run(chosen_engine, retry_failed=retry_failed)
            finally:
                results = _results(cells, directory)
        findings = Findings(found, directory, results)
        return write(names, findings, Origin(preset, model), reporter, interrupted)


def _results(cells: dict[ExperimentName, list[Cell]], directory: Path) -> dict[ExperimentName, list[CellResult]]:
    """The whole results there are, of experiments that were not asked for as well; the sweep's table is made of all."""
    by_name: dict[str, CellResult] = {}
    for name in dict.fromkeys(cell.name for each in cells.values() for cell in each):
        if (result := find_result(directory / SWEEP, name, lambda _: None)) is not None:
            by_name[name] = result
    if by_name:
        write_table(directory / SWEEP, by_name.values())
    return {
        experiment: [by_name[cell.name] for cell in each if cell.name in by_name] for experiment, each in cells.items()
    }
