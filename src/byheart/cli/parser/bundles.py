"""Verbs that use a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from byheart.cli import exits
from byheart.cli.parser.options import BaseGgufOption, BundleArgument, JsonOption, ModelElsewhere


def certify(
    directory: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="A bundle, or the directory of a PEFT adapter.", show_default=False),
    ],
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
    model: ModelElsewhere = None,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="YAML", help="For a PEFT adapter: encode, certify and model settings.", show_default=False
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    from byheart.cli.certify import certify as work

    exits.run(lambda: work(directory, records, out=out, model=model, as_json=as_json, config=config))


def recite(
    directory: BundleArgument,
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
    model: ModelElsewhere = None,
) -> None:
    from byheart.cli.recite import recite as work

    exits.run(lambda: work(directory, prompt, max_new_tokens=max_new_tokens, model=model))


def show(
    directory: BundleArgument,
    show_all: Annotated[bool, typer.Option("--all", help="Every record, and long ones in full.")] = False,
    only_failed: Annotated[
        bool, typer.Option("--failed", help="Only records that failed or have stubborn tokens, all of them.")
    ] = False,
) -> None:
    from byheart.cli.show import show as work

    exits.run(lambda: work(directory, show_all=show_all, only_failed=only_failed))


def export(
    directory: BundleArgument,
    to: Annotated[
        str,
        typer.Option(metavar="NAME", help="One of gguf, merged, mlx, ollama, peft.", show_default=False),
    ],
    out: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Where it goes. (default: inside the bundle)", show_default=False),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Run every record in llama.cpp, and certify that. (gguf, ollama)")
    ] = False,
    base_gguf: BaseGgufOption = None,
    model: ModelElsewhere = None,
    as_json: JsonOption = False,
) -> None:
    from byheart.cli.export import export as work

    exits.run(lambda: work(directory, to, out=out, check=check, base_gguf=base_gguf, model=model, as_json=as_json))


def report(
    directory: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="What 'byheart learn', 'sweep' or 'reproduce' wrote.", show_default=False),
    ],
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where the page goes. (default: DIR/report.html)", show_default=False),
    ] = None,
    no_text: Annotated[
        bool, typer.Option("--no-text", help="Leave the records' texts out: positions and numbers alone.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    from byheart.cli.report import report as work

    exits.run(lambda: work(directory, out=out, with_text=not no_text, as_json=as_json))


def serve(
    directory: BundleArgument,
    host: Annotated[
        str,
        typer.Option(
            metavar="HOST",
            help="Where it listens; other machines can ask elsewhere than at the default, with an API key. "
            "(default: 127.0.0.1)",
            show_default=False,
        ),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="N", help="0: any free one. (default: 8080)", show_default=False)] = 8080,
    api_key_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Keys that it asks for, one a line. (default: the key in BYHEART_API_KEY, where it is set)",
            show_default=False,
        ),
    ] = None,
    base_gguf: BaseGgufOption = None,
    model: ModelElsewhere = None,
    as_json: JsonOption = False,
) -> None:
    from byheart.cli.serve import serve as work

    exits.run(
        lambda: work(
            directory,
            host=host,
            port=port,
            api_key_file=api_key_file,
            base_gguf=base_gguf,
            model=model,
            as_json=as_json,
        )
    )
