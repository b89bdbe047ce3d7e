"""``byheart sweep``: a grid → a table, told as it goes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from byheart.cli.exits import COMPLETE, SOME_FAILED
from byheart.cli.screens import Screen, print_json, screens
from byheart.cli.sweep_progress import resumable
from byheart.cli.visible import visible
from byheart.cli.wording import counted

if TYPE_CHECKING:
    from byheart.sweep.cell import CellResult

_SHOWN = 10


def sweep(
    grid: Path,
    out: Path,
    *,
    engine: str,
    workers: int | None,
    address: str | None,
    retry_failed: bool,
    as_json: bool,
) -> int:
    """Runs the cells that have no result yet.

    Returns:
        The exit code.
    """
    with screens(as_json) as (results, progress):
        with resumable(progress, rest=f"the rest in {out}") as (narrator, interruption):
            from byheart.sweep.driver import sweep as run

            found = run(
                grid,
                out,
                engine=engine,
                num_workers=workers,
                address=address,
                retry_failed=retry_failed,
                reporter=narrator,
                interrupted=interruption,
            )
        _print_summary(results, found, out)
    if as_json:
        print_json(summary(found, out))
    return SOME_FAILED if any(result.status == "failed" for result in found) else COMPLETE


def summary(found: Sequence[CellResult], out: Path) -> dict[str, Any]:
    """What ``--json`` says of a sweep."""
    from byheart.sweep.results import TABLE_FILE

    done = [result.measured for result in found if result.measured is not None]
    return {
        "num_cells": len(found),
        "num_done": len(done),
        "num_failed": len(found) - len(done),
        "num_unconverged": sum(not each.has_converged for each in done),
        "num_exact": sum(each.exact_match == 1 for each in done),
        "cell_seconds": round(sum(each.seconds for each in done), 3),
        "table": str(out / TABLE_FILE),
    }


def _print_summary(screen: Screen, found: Sequence[CellResult], out: Path) -> None:
    values = summary(found, out)
    failed = [result for result in found if result.status == "failed"]
    screen.paragraph()
    screen.rows(
        [
            ("cells", f"{values['num_done']:,} done, {values['num_failed']:,} failed"),
            ("exact", f"{counted(values['num_exact'], 'cell')} with every record recalled to the letter"),
            ("unsettled", f"{counted(values['num_unconverged'], 'cell')} still improving when the budget ended"),
            ("table", values["table"]),
        ]
    )
    for result in failed[:_SHOWN]:
        axes = ", ".join(f"{name} {value}" for name, value in result.axes.items())
        screen.paragraph(f"{result.name}  {visible(axes)}: {visible(result.error or '', 200)}", indent=2)
    if num_more := len(failed[_SHOWN:]):
        screen.paragraph(f"and {num_more:,} more; column error of the table has all", indent=2)
    if failed:
        screen.paragraph()
        screen.rows([("again", "the same command with --retry-failed")])
