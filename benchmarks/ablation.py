"""Ablation: what each saving of the engine is worth, by leaving out one at a time.

    python benchmarks/ablation.py [--records FILE] [--num-records 100] [--without cache,bf16] [--repeats 2] [--quick]

A hundred names and numbers (`measure.phonebook`), byheart's defaults, and each of `SAVINGS` left out in turn. Some have
a setting. Those that have none are taken from the `SplitModel` that `byheart.job` is given: `learning_run.py` puts its
own function in the place of `split` there, which changes a field of what `split` returns, and nothing else; short rows
are given the attention of long ones by `shared_prompt.as_if_long`. With the shared prompt goes the attention that is
made for it; the model's own takes its place. Two savings have no row: batches of records of similar length, since names
and numbers all are, and the gradient of weighted tokens alone, which is of steps over the whole vocabulary. A rate that
falls linearly does so over half of the budget, as the setting has it. Two rows leave nothing out: they have batches of
half and of twice as many records, by which the default is judged.

Reported are the seconds of an epoch that visits every record, and the seconds until certified, as `learning_run.py`
counts them. A saving can shorten an epoch (shared prompt, cache, …) or the way there (first weights, resting). The
second repeat goes through the savings backwards; each repeat has another seed, the same for all; the median counts.

Where the model would run in float32 anyway, because the processor does not multiply bfloat16 fast, that row is the same
as the first.
"""

from __future__ import annotations

import argparse
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import learning_run
import measure
import pictures

from byheart.settings import merged

QUICK_EPOCHS = 3


@dataclass(frozen=True)
class Saving:
    """How to leave a saving out.

    Attributes:
        label: what tables call the run without it.
        config: the settings that switch it off.
        exchanged: the fields of the `SplitModel` that do, where there is no setting.
        attends_as_long: what does for short rows' plain products.
    """

    label: str
    config: dict[str, Any] = field(default_factory=dict)
    exchanged: dict[str, Any] = field(default_factory=dict)
    attends_as_long: bool = False


EVERYTHING = "everything"
SAVINGS = {
    EVERYTHING: Saving("everything on"),
    "shared-prompt": Saving("without the shared prompt", exchanged={"shares_prompt": False}),
    "short-attention": Saving("short rows attend as long ones", attends_as_long=True),
    "unread": Saving("last layer at all positions", exchanged={"skips_unread": False}),
    "shortlist": Saving("without the shortlist", {"learn": {"shortlist": False}}),
    "initial": Saving("random first weights", {"learn": {"initial": "random"}}),
    "rest": Saving("without resting records", {"method": {"rest_epochs": 0}}),
    "averaging": Saving("without the running mean", {"learn": {"averaging": 0.0}}),
    "remaining": Saving("rate falls linearly", {"learn": {"decay": "linear"}}),
    "cache": Saving("without the activation cache", exchanged={"cut": None}),
    "bf16": Saving("float32 products", {"model": {"dtype": "float32"}}),
    "small-batches": Saving("batches of 5 records", {"learn": {"batch_size": 5}}),
    "large-batches": Saving("batches of 20 records", {"learn": {"batch_size": 20}}),
}


def main() -> None:
    """Runs all, alternating, and reports."""
    arguments = _arguments()
    name, pairs = measure.phonebook(arguments.records, arguments.num_records)
    goes_on = arguments.epochs is None
    budget = {} if goes_on else {"learn": {"epochs": arguments.epochs, "max_growths": 0}}
    names = [EVERYTHING, *(name for name in arguments.without if name != EVERYTHING)]
    runs: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    told = ""
    for left_out, repeat in measure.alternating(names, arguments.repeats):
        saving = SAVINGS[left_out]
        config = merged({"seed": measure.FIRST_SEED + repeat, **saving.config}, budget)
        job = learning_run.Job(pairs, config, arguments.threads, saving.exchanged, saving.attends_as_long)
        runs.append({"without": left_out, **learning_run.learnt(job)})
        measured = [each for each in names if any(run["without"] == each for run in runs)]
        rows = [row(each, runs) for each in measured]
        report = {
            "records": name,
            "num_records": len(pairs),
            "epochs": arguments.epochs,
            "num_threads": arguments.threads,
            "machine": measure.machine(),
            "rows": rows,
            "runs": runs,
        }
        told = measure.publish(arguments.out, report, text(report), arguments.left_out)
    print(told)
    draw(rows, arguments.picture, are_ends_told=goes_on)


def row(name: str, runs: list[dict[str, Any]]) -> dict[str, Any]:
    """What the table and the picture say of a saving left out: the median of its runs, and of its ratio to everything
    on in the same repeat; the worst for whether it is certified.
    """
    mine = [run for run in runs if run["without"] == name]
    whole = {run["config"]["seed"]: run for run in runs if run["without"] == EVERYTHING}
    names = ("seconds_an_epoch", "seconds", "reading_seconds", "epochs", "num_visits", "peak_bytes")

    def relative(what: str) -> float | None:
        ratios = [run[what] / whole[seed][what] for run in mine if (seed := run["config"]["seed"]) in whole]
        return statistics.median(ratios) if ratios else None

    return {
        "without": name,
        "label": SAVINGS[name].label,
        **{each: statistics.median(run[each] for run in mine) for each in names},
        "relative_epoch": relative("seconds_an_epoch"),
        "relative_seconds": relative("seconds"),
        "num_certified": min(run["num_certified"] for run in mine),
        "num_records": mine[0]["num_records"],
        "dtype": mine[0]["dtype"],
    }


def text(report: dict[str, Any]) -> str:
    """The table in Markdown."""
    return table(report["rows"], are_ends_told=report["epochs"] is None)


def table(rows: list[dict[str, Any]], *, are_ends_told: bool) -> str:
    """The rows in Markdown; what took how long until the end only where runs went on until then."""
    names = ["engine", "seconds an epoch", "relative"]
    cells = [[row["label"], f"{row['seconds_an_epoch']:.2f}", f"{row['relative_epoch']:.2f}"] for row in rows]
    if are_ends_told:
        names += ["seconds to certified", "relative", "of it reading s", "epochs", "visits a record"]
        for row, own in zip(rows, cells, strict=True):
            own += [
                _to_certified(row),
                f"{row['relative_seconds']:.2f}" if _is_certified(row) else "",
                f"{row['reading_seconds']:.1f}",
                f"{row['epochs']:g}",
                f"{row['num_visits'] / row['num_records']:.1f}",
            ]
    return measure.table(names, cells)


def draw(rows: list[dict[str, Any]], path: Path, *, are_ends_told: bool) -> None:
    """Horizontal bars: seconds an epoch, and beside them seconds to certified where runs went on until then."""
    figure, axes = pictures.panels(10 if are_ends_told else 7, 0.9 + 0.4 * len(rows), 1 + are_ends_told, same_rows=True)
    labels = [row["label"] for row in rows]
    seconds = [row["seconds_an_epoch"] for row in rows]
    told = [f"{row['seconds_an_epoch']:.1f} s, {row['relative_epoch']:.2f}×" for row in rows]
    pictures.bars(axes[0], labels, seconds, told, [True] * len(rows))
    axes[0].set_xlabel("seconds an epoch of all records")
    if are_ends_told:
        told = [
            f"{row['seconds']:.0f} s, {row['relative_seconds']:.2f}×" if _is_certified(row) else _to_certified(row)
            for row in rows
        ]
        pictures.bars(axes[1], labels, [row["seconds"] for row in rows], told, [_is_certified(row) for row in rows])
        axes[1].set_xlabel("seconds until every record is certified")
    pictures.save(figure, path)


def _is_certified(saving: dict[str, Any]) -> bool:
    return saving["num_certified"] == saving["num_records"]


def _to_certified(saving: dict[str, Any]) -> str:
    if _is_certified(saving):
        return f"{saving['seconds']:.1f}"
    return f"{saving['num_certified']} of {saving['num_records']} in {saving['seconds']:.0f} s"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=Path, help="a file of records; the first are taken")
    parser.add_argument("--num-records", type=int, default=100)
    parser.add_argument(
        "--without",
        type=lambda text: text.split(","),
        default=list(SAVINGS),
        help=f"some of {', '.join(list(SAVINGS)[1:])}; {EVERYTHING} on runs in any case",
    )
    parser.add_argument("--repeats", type=int, help="how often every run is made (2)")
    parser.add_argument("--epochs", type=int, help="the budget; without it byheart's own")
    left_out = f"{QUICK_EPOCHS} epochs, once: how long an epoch takes, and nothing of the way to a certificate"
    arguments = measure.with_files(parser, "ablation", left_out=left_out)
    arguments.repeats = arguments.repeats or (1 if arguments.quick else 2)
    arguments.epochs = arguments.epochs or (QUICK_EPOCHS if arguments.quick else None)
    if unknown := [name for name in arguments.without if name not in SAVINGS]:
        parser.error(f"no saving {', '.join(unknown)}; there are {', '.join(SAVINGS)}")
    return arguments


if __name__ == "__main__":
    main()
