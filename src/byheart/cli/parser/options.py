"""Arguments and options that several verbs have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

BundleArgument = Annotated[
    Path, typer.Argument(metavar="DIR", help="The bundle: what 'byheart learn' wrote.", show_default=False)
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout; all else goes to stderr.")]
ModelElsewhere = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Where the same base model is now: directory or hub id. (default: where it was when it was learnt)",
        show_default=False,
    ),
]
