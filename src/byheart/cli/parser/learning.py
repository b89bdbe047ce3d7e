"""Verbs that make memories and learn them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from byheart.cli import exits
from byheart.cli.parser.options import JsonOption, MethodOption, ModelOption


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
    model: ModelOption = None,
    method: MethodOption = None,
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
    margin: Annotated[
        str | None,
        typer.Option(
            metavar="M",
            help="How far above p = 0.5 training aims, against other engines' noise; or '2 nats'. (default: 0.4)",
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
    as_json: JsonOption = False,
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
            margin=margin,
            seed=seed,
            config=config,
            as_json=as_json,
        )
    )


def task(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="One of phonebook, long-context, linear-rule, scenarios, records.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path, typer.Option(metavar="FILE", help="Where the records go, as JSONL; must not exist.", show_default=False)
    ],
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Whose tokenizer counts and draws: short name, directory or hub id. (default: smollm2-135m)",
            show_default=False,
        ),
    ] = None,
    tokens: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Size in answer tokens. (default: phonebook 1000, long-context 100, records all)",
            show_default=False,
        ),
    ] = None,
    pairs: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="Size in records, in place of --tokens. (linear-rule: 500)", show_default=False
        ),
    ] = None,
    ratio: Annotated[
        float | None,
        typer.Option(
            metavar="R",
            min=0,
            max=1,
            help="long-context: share of the tokens that are random, 0 to 1. (default: 0)",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(metavar="N", min=0, help="Of all that is drawn. (default: 42)", show_default=False),
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Records to take the first of, or long-context's text. (default: what byheart brings along)",
            show_default=False,
        ),
    ] = None,
    test_out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="linear-rule: where unseen pairs go, as JSONL.", show_default=False),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    from byheart.cli.task import task as work

    exits.run(
        lambda: work(
            name,
            out,
            model=model,
            tokens=tokens,
            pairs=pairs,
            ratio=ratio,
            seed=seed,
            source=source,
            test_out=test_out,
            as_json=as_json,
        )
    )
