"""The parser, and nothing else: what can be asked for, in which words. Each verb's work is in the file of its name.

The defaults that help names are the settings' own; a test holds the two together, since reading them here would make
help slow.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Annotated

import typer

from byheart import __version__
from byheart.cli import exits, help_texts

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_BundleArgument = Annotated[
    Path, typer.Argument(metavar="DIR", help="The bundle: what 'byheart learn' wrote.", show_default=False)
]
_JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout; all else goes to stderr.")]
_ModelElsewhere = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Where the same base model is now: directory or hub id. (default: where it was when it was learnt)",
        show_default=False,
    ),
]


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


@app.command(help=help_texts.LEARN)
def learn(
    records: Annotated[
        Path,
        typer.Argument(
            metavar="RECORDS",
            help="JSONL (prompt/completion or messages), CSV, text, Markdown, or a dataset directory.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(metavar="DIR", help="Where the bundle goes; a run stopped there goes on.", show_default=False),
    ],
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Base model: short name, directory or hub id. (default: smollm2-135m)",
            show_default=False,
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="One of sft, memft-ot, memft-sw, memft-sw-curriculum. (default: memft-ot)",
            show_default=False,
        ),
    ] = None,
    lora_rank: Annotated[
        str | None,
        typer.Option(
            metavar="auto|N",
            help="Size of the adapter; auto: what the records need. (default: auto)",
            show_default=False,
        ),
    ] = None,
    layers: Annotated[
        str | None,
        typer.Option(
            metavar="SPEC",
            help="Adapted layers: index, A-B, fraction, top:N, all; several with commas. (default: top:3)",
            show_default=False,
        ),
    ] = None,
    modules: Annotated[
        str | None,
        typer.Option(
            metavar="SPEC",
            help="Adapted modules: names, mlp, attention, all-linear; or mlp-bypass. (default: all-linear)",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Of the first weights and the order of records. (default: 42)", show_default=False
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="YAML",
            help="File with all other settings; the options above win.",
            show_default=False,
        ),
    ] = None,
    as_json: _JsonOption = False,
) -> None:
    from byheart.cli.learn import learn as work

    exits.run(
        lambda: work(
            records,
            out,
            model=model,
            method=method,
            lora_rank=lora_rank,
            layers=layers,
            modules=modules,
            seed=seed,
            config=config,
            as_json=as_json,
        )
    )


@app.command(help=help_texts.CERTIFY)
def certify(
    directory: _BundleArgument,
    records: Annotated[
        Path | None,
        typer.Argument(
            metavar="RECORDS", help="Measure these. (default: the records it was taught)", show_default=False
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also write the new certificate there, as JSON.", show_default=False),
    ] = None,
    model: _ModelElsewhere = None,
    as_json: _JsonOption = False,
) -> None:
    from byheart.cli.certify import certify as work

    exits.run(lambda: work(directory, records, out=out, model=model, as_json=as_json))


@app.command(help=help_texts.RECITE)
def recite(
    directory: _BundleArgument,
    prompt: Annotated[
        str,
        typer.Argument(metavar="PROMPT", help="What to ask; - reads it from stdin, to the byte.", show_default=False),
    ],
    max_new_tokens: Annotated[
        int,
        typer.Option(
            metavar="N", min=1, help="Where an answer that does not end is cut. (default: 4096)", show_default=False
        ),
    ] = 4096,
    model: _ModelElsewhere = None,
) -> None:
    from byheart.cli.recite import recite as work

    exits.run(lambda: work(directory, prompt, max_new_tokens=max_new_tokens, model=model))


@app.command(help=help_texts.SHOW)
def show(
    directory: _BundleArgument,
    show_all: Annotated[bool, typer.Option("--all", help="Every record, and long ones in full.")] = False,
    only_failed: Annotated[
        bool, typer.Option("--failed", help="Only records that failed or have stubborn tokens, all of them.")
    ] = False,
) -> None:
    from byheart.cli.show import show as work

    exits.run(lambda: work(directory, show_all=show_all, only_failed=only_failed))


def main() -> None:
    """The command ``byheart``."""
    for stream in (sys.stdout, sys.stderr):
        # A stream in an encoding of few letters shows question marks where it would raise.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    app()
