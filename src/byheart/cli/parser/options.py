"""Arguments and options that several verbs have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

BundleArgument = Annotated[
    Path, typer.Argument(metavar="DIR", help="The bundle: what 'byheart learn' wrote.", show_default=False)
]
AddressOption = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        help="Of the Ray cluster. (default: one on this machine, for this call)",
        show_default=False,
    ),
]
BaseGgufOption = Annotated[
    str | None,
    typer.Option(
        metavar="FILE|TYPE",
        help="The base for llama.cpp: a file; or f32, f16, bf16, q8_0, to make one. (default: the base's own)",
        show_default=False,
    ),
]
EngineOption = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="local: processes on this machine; ray: a Ray cluster. (default: local)",
        show_default=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout; all else goes to stderr.")]
LayersOption = Annotated[
    str | None,
    typer.Option(metavar="SPEC", help="Adapted layers, as for learn. (default: top:3)", show_default=False),
]
MethodOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="One of sft, memft-ot, memft-sw, memft-sw-curriculum. (default: memft-ot)",
        show_default=False,
    ),
]
MODEL_HELP = "Base model: short name, directory or hub id. (default: smollm2-135m)"
ModelElsewhere = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Where the same base model is now: directory or hub id. (default: where it was when it was learnt)",
        show_default=False,
    ),
]
ModelOption = Annotated[str | None, typer.Option(metavar="NAME", help=MODEL_HELP, show_default=False)]
ModulesOption = Annotated[
    str | None,
    typer.Option(metavar="SPEC", help="Adapted modules, as for learn. (default: all-linear)", show_default=False),
]
RetryFailedOption = Annotated[bool, typer.Option("--retry-failed", help="Run cells that failed before again.")]
WorkersOption = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Cells at a time. (default: local: one, or one a card; ray: as many as have room)",
        show_default=False,
    ),
]
