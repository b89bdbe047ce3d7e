"""``byheart reproduce``: a preset → the paper's tables and figures, told as it goes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from byheart.cli.exits import COMPLETE, SOME_FAILED
from byheart.cli.screens import Screen, print_json, screens
from byheart.cli.sweep_progress import resumable
from byheart.cli.visible import visible

if TYPE_CHECKING:
    from byheart.paper.reproduce import Reproduction


def reproduce(
    what: Sequence[str],
    preset: str,
    out: Path,
    *,
    model: str | None,
    engine: str,
    workers: int | None,
    address: str | None,
    retry_failed: bool,
    as_json: bool,
) -> int:
    """Runs the cells that have no result yet, and makes tables and figures.

    Returns:
        The exit code.
    """
    with screens(as_json) as (results, progress):
        with resumable(progress, rest=f"the rest in {out}") as (narrator, interruption):
            from byheart.paper.reproduce import reproduce as run

            made = run(
                what,
                preset,
                out,
                model=model,
                engine=engine,
                num_workers=workers,
                address=address,
                retry_failed=retry_failed,
                reporter=narrator,
                interrupted=interruption,
            )
        _print_summary(results, made)
    if as_json:
        print_json(summary(made))
    return SOME_FAILED if made.missing or made.findings.num_failed() else COMPLETE


def summary(made: Reproduction) -> dict[str, Any]:
    """What ``--json`` says of a reproduction."""
    done = [cell.measured for cell in made.findings.all_done()]
    num_failed = made.findings.num_failed()
    return {
        "num_cells": len(done) + num_failed,
        "num_done": len(done),
        "num_failed": num_failed,
        "num_unconverged": sum(not each.has_converged for each in done),
        "cell_seconds": round(sum(each.seconds for each in done), 3),
        "tables": [str(path) for path in made.tables],
        "figures": [str(path) for path in made.figures],
        "missing": list(made.missing),
        "directory": str(made.findings.directory),
    }


def _print_summary(screen: Screen, made: Reproduction) -> None:
    values = summary(made)
    screen.paragraph()
    screen.rows(
        [
            ("cells", f"{values['num_done']:,} done, {values['num_failed']:,} failed"),
            ("unsettled", f"{values['num_unconverged']:,} still improving when the budget ended"),
            ("tables", f"{len(made.tables):,} files in {made.findings.directory / 'tables'}"),
            ("figures", f"{len(made.figures):,} files in {made.findings.directory / 'figures'}"),
        ]
    )
    for reason in made.missing:
        screen.paragraph(f"missing: {visible(reason)}", indent=2)
    if values["num_failed"]:
        screen.paragraph()
        screen.rows([("again", "the same command with --retry-failed; sweep/results.parquet says what failed")])
