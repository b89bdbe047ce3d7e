"""Verbs that run many bundles, and what follows from them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from byheart.cli import exits
from byheart.cli.parser.options import (
    MODEL_HELP,
    AddressOption,
    EngineOption,
    JsonOption,
    LayersOption,
    MethodOption,
    ModelOption,
    ModulesOption,
    RetryFailedOption,
    WorkersOption,
)


def sweep(
    grid: Annotated[
        Path, typer.Argument(metavar="GRID", help="YAML: base, task, and the axes to vary.", show_default=False)
    ],
    out: Annotated[
        Path,
        typer.Option(metavar="DIR", help="Where results go; a sweep stopped there goes on.", show_default=False),
    ],
    engine: EngineOption = "local",
    workers: WorkersOption = None,
    address: AddressOption = None,
    retry_failed: RetryFailedOption = False,
    as_json: JsonOption = False,
) -> None:
    from byheart.cli.sweep import sweep as work

    exits.run(
        lambda: work(
            grid,
            out,
            engine=engine,
            workers=workers,
            address=address,
            retry_failed=retry_failed,
            as_json=as_json,
        )
    )


def fit(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="What 'byheart sweep' wrote.", show_default=False)],
    by: Annotated[
        str,
        typer.Option(
            metavar="FIELD",
            help="Column whose values make a group; several with commas. (default: task)",
            show_default=False,
        ),
    ] = "task",
    axis: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="Size: lora_rank or num_parameters. (default: lora_rank)", show_default=False
        ),
    ] = "lora_rank",
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Where the law goes, figures beside it. (default: DIR/law.json)", show_default=False
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    from byheart.cli.fit import fit as work

    exits.run(lambda: work(directory, by=by, axis=axis, out=out, as_json=as_json))


def reproduce(
    out: Annotated[
        Path,
        typer.Option(
            metavar="DIR", help="Where everything goes; a reproduction stopped there goes on.", show_default=False
        ),
    ],
    preset: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="One of tiny, small, qwen3-8b, llama-3.1-8b, or a YAML file of your own.",
            show_default=False,
        ),
    ],
    what: Annotated[
        list[str] | None,
        typer.Argument(metavar="[WHAT]...", help="Tables and figures by name. (default: all)", show_default=False),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Base model: short name, directory or hub id. (default: the preset's)",
            show_default=False,
        ),
    ] = None,
    engine: EngineOption = "local",
    workers: WorkersOption = None,
    address: AddressOption = None,
    retry_failed: RetryFailedOption = False,
    as_json: JsonOption = False,
) -> None:
    from byheart.cli.reproduce import reproduce as work

    exits.run(
        lambda: work(
            what or ["all"],
            preset,
            out,
            model=model,
            engine=engine,
            workers=workers,
            address=address,
            retry_failed=retry_failed,
            as_json=as_json,
        )
    )


def plan(
    records: Annotated[
        Path,
        typer.Argument(metavar="RECORDS", help="As 'byheart learn' takes them.", show_default=False),
    ],
    model: ModelOption = None,
    goal: Annotated[
        float,
        typer.Option(
            metavar="SHARE",
            help="Share of the records to be certified, with probability 0.9. (default: 1.0, every one)",
            show_default=False,
        ),
    ] = 1.0,
    method: MethodOption = None,
    layers: LayersOption = None,
    modules: ModulesOption = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Draw probability and loss by rank, with their bands, as SVG and PNG. (default: nothing is drawn)",
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    from byheart.cli.plan import plan as work

    exits.run(
        lambda: work(
            records,
            model=model,
            goal=goal,
            method=method,
            layers=layers,
            modules=modules,
            out=out,
            as_json=as_json,
        )
    )


def calibrate(
    model: Annotated[
        str | None,
        typer.Argument(metavar="[MODEL]", help=MODEL_HELP, show_default=False),
    ] = None,
    method: MethodOption = None,
    layers: LayersOption = None,
    modules: ModulesOption = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Where calibration and cells go. (default: the user's data directory, where plans look)",
            show_default=False,
        ),
    ] = None,
    workers: Annotated[int, typer.Option(metavar="N", help="Cells at a time.")] = 1,
    as_json: JsonOption = False,
) -> None:
    from byheart.cli.calibrate import calibrate as work

    exits.run(
        lambda: work(model, method=method, layers=layers, modules=modules, out=out, workers=workers, as_json=as_json)
    )
