"""The command: its verbs, in the order in which help names them; what each takes stands in `byheart.cli.parser`.

The defaults that help names are the settings' own; a test holds the two together, since reading them here would make
help slow.
"""

from __future__ import annotations

import io
import sys
from typing import Annotated

import typer

from byheart import __version__
from byheart.cli import help_texts
from byheart.cli.parser import bundles, learning, studies

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"byheart {__version__}")
        raise typer.Exit


@app.callback(help=help_texts.ABOUT)
def _byheart(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Only asks for ``--version``; the verbs follow."""


VERBS = (
    (learning.learn, help_texts.LEARN),
    (bundles.certify, help_texts.CERTIFY),
    (bundles.recite, help_texts.RECITE),
    (bundles.show, help_texts.SHOW),
    (bundles.report, help_texts.REPORT),
    (bundles.export, help_texts.EXPORT),
    (bundles.serve, help_texts.SERVE),
    (learning.task, help_texts.TASK),
    (studies.sweep, help_texts.SWEEP),
    (studies.fit, help_texts.FIT),
    (studies.plan, help_texts.PLAN),
    (studies.calibrate, help_texts.CALIBRATE),
    (studies.reproduce, help_texts.REPRODUCE),
)
"""In the order in which help names them."""

for verb, text in VERBS:
    app.command(help=text)(verb)


def main() -> None:
    """The command ``byheart``."""
    for stream in (sys.stdout, sys.stderr):
        # A stream in an encoding of few letters shows question marks where it would raise.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    app()
