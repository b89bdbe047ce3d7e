"""``byheart calibrate``: the cells a plan needs, run and stored, told as they come."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from byheart.cli.exits import COMPLETE, SOME_FAILED
from byheart.cli.methods import known_method
from byheart.cli.screens import Screen, print_json, screens
from byheart.cli.sweep_progress import resumable
from byheart.cli.wording import counted
from byheart.config import RunConfig

if TYPE_CHECKING:
    from byheart.planning.calibration import Calibration


def calibrate(
    model: str | None,
    *,
    method: str | None,
    layers: str | None,
    modules: str | None,
    out: Path | None,
    workers: int,
    as_json: bool,
) -> int:
    """Runs the cells that have no result yet, and fits them all.

    Returns:
        The exit code.
    """
    settings = RunConfig.build(None, model=model, method=known_method(method), layers=layers, modules=modules)
    with screens(as_json) as (results, progress):
        with resumable(progress, rest="the rest") as (narrator, interruption):
            from byheart.calibrating.calibrate import calibrate as work
            from byheart.sweep.engines import build
            from byheart.sweep.grid import Resources

            engine = build("local", Resources(), workers)
            calibration, path = work(settings, out=out, engine=engine, reporter=narrator, interrupted=interruption)
        _print(results, calibration, path)
    if as_json:
        print_json(summary(calibration, path))
    return SOME_FAILED if calibration.num_failed else COMPLETE


def summary(calibration: Calibration, path: Path) -> dict[str, Any]:
    """What ``--json`` says of a calibration; the file has every cell as well."""
    plain = calibration.model_dump(mode="json", include={"subject", "forecast", "forecast_reason", "recall", "timing"})
    return {
        "calibration": str(path),
        "num_cells": len(calibration.cells),
        "num_failed": calibration.num_failed,
        "cell_seconds": round(sum(cell.seconds for cell in calibration.cells), 3),
        **plain,
    }


def _print(screen: Screen, calibration: Calibration, path: Path) -> None:
    recall, forecast = calibration.recall, calibration.forecast
    if forecast is None:
        law = f"none: {calibration.forecast_reason}"
    else:
        law = f"{forecast}; from {counted(forecast.num_cells, 'cell')}"
    losses = ", ".join(f"{name} {value:.2f}" for name, value in recall.log_losses.items())
    screen.paragraph()
    screen.rows(
        [
            ("cells", f"{len(calibration.cells)} done, {calibration.num_failed} failed"),
            ("recalled", f"{counted(recall.num_reached, 'cell')} with every record certified"),
            ("law", law),
            ("recall", f"read from {recall.reading}; log loss on what was left out: {losses or 'not known'}"),
            ("stored", str(path)),
        ]
    )
