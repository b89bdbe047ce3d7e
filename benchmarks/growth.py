"""Growth: seconds and peak memory of `byheart learn` with its defaults against the number of records.

    python benchmarks/growth.py [--records FILE] [--sizes 100,300,1000,3200] [--threads 1] [--quick]

Names and numbers: the first so many of ``--records``, such as the paper's PB32000.jsonl, else invented contacts
(`measure.phonebook`). Each size is learnt anew, in a process of its own (`learning_run.py` says what its seconds and
its memory are), and judged by its certificate: a size at which a record fails is marked as not exact. Beside them stand
the seconds of the whole call, with its looks at how far it is and the certificate, and the memory that byheart told
before its first step. The last size runs once more with its activations on disk, the most that a memory can spare.

Learning that does the same work for every record takes the same seconds a record whatever their number. The bar: 1,000
records take at most 1.5 times the seconds a record that 100 take, all of both exact.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from typing import Any

import learning_run
import measure
import pictures

SIZES, QUICK_SIZES = [100, 300, 1000, 3200], [50, 100, 200]
BAR, BAR_FROM, BAR_TO = 1.5, 100, 1000
ON_DISK = {"activation_memory_bytes": 0}


def main() -> None:
    """Learns every size and reports."""
    arguments = _arguments()
    name, pairs = measure.phonebook(arguments.records, max(arguments.sizes))
    points = [*((size, False) for size in arguments.sizes), (max(arguments.sizes), True)]
    runs: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    told = ""
    for point, repeat in measure.alternating(points, arguments.repeats):
        size, on_disk = point
        config: dict[str, Any] = {"seed": measure.FIRST_SEED + repeat, "learn": ON_DISK if on_disk else {}}
        runs.append(learning_run.learnt(learning_run.Job(pairs[:size], config, arguments.threads)))
        rows = [row(each, of) for each in points if (of := [run for run in runs if point_of(run) == each])]
        report = {
            "records": name,
            "num_threads": arguments.threads,
            "machine": measure.machine(),
            "rows": rows,
            "runs": runs,
        }
        told = measure.publish(arguments.out, report, text(report), arguments.left_out)
    print(told)
    draw(rows, arguments.picture)


def point_of(run: dict[str, Any]) -> tuple[int, bool]:
    """Number of records, and whether the activations were on disk."""
    return run["num_records"], run["config"]["learn"] == ON_DISK


def row(point: tuple[int, bool], runs: list[dict[str, Any]]) -> dict[str, Any]:
    """What the table and the picture say of a point: the median of its runs, the worst for whether it is exact."""
    size, on_disk = point
    worst = min(runs, key=lambda run: run["exact_match"])
    names = ("seconds", "train_seconds", "total_seconds", "epochs", "peak_bytes")
    median = {name: statistics.median(run[name] for run in runs) for name in names}
    above = [run["peak_above_model_bytes"] for run in runs]
    return {
        "num_records": size,
        "on_disk": on_disk,
        **median,
        "peak_above_model_bytes": None if None in above else statistics.median(above),
        "seconds_a_record": median["seconds"] / size,
        "total_seconds_a_record": median["total_seconds"] / size,
        "told_memory": worst["told_memory"],
        **{name: worst[name] for name in ("exact_match", "num_certified", "lora_rank", "bits_per_parameter")},
    }


def text(report: dict[str, Any]) -> str:
    """The table and whether the bar holds, in Markdown."""
    return f"{table(report['rows'])}\n\n{verdict(report['rows'])}"


def verdict(rows: list[dict[str, Any]]) -> str:
    """Whether the bar holds, in a sentence."""
    by_size = {row["num_records"]: row for row in rows if not row["on_disk"]}
    if not {BAR_FROM, BAR_TO} <= by_size.keys():
        return f"The bar is not measured: it compares {BAR_FROM:,} records with {BAR_TO:,}."
    few, many = by_size[BAR_FROM], by_size[BAR_TO]
    ratio = many["seconds_a_record"] / few["seconds_a_record"]
    is_exact = few["exact_match"] == many["exact_match"] == 1
    return (
        f"The bar of {BAR:g} {'holds' if ratio <= BAR and is_exact else 'does not hold'}: {BAR_TO:,} records take "
        f"{ratio:.2f} times the seconds a record that {BAR_FROM:,} take{'' if is_exact else ', and not all are exact'}."
    )


def table(rows: list[dict[str, Any]]) -> str:
    """The rows in Markdown."""
    names = (
        "records, reading + training s, a record, relative, in all s, a record, relative, epochs, exact match, rank, "
        "bits a parameter, peak memory MB, above the model MB, told before"
    )
    first = rows[0]
    cells = [
        [
            f"{size['num_records']:,}{', activations on disk' if size['on_disk'] else ''}",
            f"{size['seconds']:.1f}",
            f"{size['seconds_a_record']:.3f}",
            f"{size['seconds_a_record'] / first['seconds_a_record']:.2f}",
            f"{size['total_seconds']:.1f}",
            f"{size['total_seconds_a_record']:.3f}",
            f"{size['total_seconds_a_record'] / first['total_seconds_a_record']:.2f}",
            f"{size['epochs']:g}",
            f"{size['exact_match']:.3f}",
            f"{size['lora_rank']}",
            f"{size['bits_per_parameter']:.4f}",
            measure.megabytes(size["peak_bytes"]),
            measure.megabytes(size["peak_above_model_bytes"]),
            size["told_memory"] or "",
        ]
        for size in rows
    ]
    return measure.table(names.split(", "), cells)


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Seconds a record, and memory, against the number of records; a hollow mark where not all are exact. What ran with
    its activations on disk is in the table alone.
    """
    rows = [row for row in rows if not row["on_disk"]]
    figure, (seconds, memory) = pictures.panels(9, 3.2, 2)
    sizes = [row["num_records"] for row in rows]
    _line(seconds, rows, "seconds_a_record", 1, "reading and training", pictures.DARK)
    _line(seconds, rows, "total_seconds_a_record", 1, "with looks and certificate", pictures.LIGHT)
    _line(memory, rows, "peak_bytes", 1e-6, "peak", pictures.DARK)
    if None not in [row["peak_above_model_bytes"] for row in rows]:
        _line(memory, rows, "peak_above_model_bytes", 1e-6, "above the loaded model", pictures.LIGHT)
    seconds.set_title("seconds a record", loc="left", fontsize="medium")
    memory.set_title("memory, MB", loc="left", fontsize="medium")
    for axes in (seconds, memory):
        axes.set_xscale("log")
        axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
        axes.set_xticks([], minor=True)
        axes.set_xlabel("records")
        axes.set_ylim(0, 1.25 * axes.dataLim.y1)
        axes.legend(frameon=False, loc="best")
    pictures.save(figure, path)


def _line(axes: Any, rows: list[dict[str, Any]], name: str, scale: float, label: str, color: str) -> None:
    points = [(row["num_records"], scale * row[name]) for row in rows]
    axes.plot(*zip(*points, strict=True), color=color, label=label)
    for (x, y), row in zip(points, rows, strict=True):
        axes.plot(x, y, "o", color=color, markerfacecolor=color if row["exact_match"] == 1 else "1")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=Path, help="a file of records; the first are taken")
    parser.add_argument("--sizes", type=lambda text: sorted(map(int, text.split(","))), help="how many records")
    parser.add_argument("--repeats", type=int, default=1, help="how often every size runs, each time with another seed")
    left_out = f"{', '.join(map(str, QUICK_SIZES))} records, not up to {SIZES[-1]:,}, so the bar is not measured"
    arguments = measure.with_files(parser, "growth", left_out=left_out)
    arguments.sizes = arguments.sizes or (QUICK_SIZES if arguments.quick else SIZES)
    return arguments


if __name__ == "__main__":
    main()
