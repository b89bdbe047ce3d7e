"""What a margin costs: training with the default `method.margin` beside training with none, on the same records.

    python benchmarks/margin.py [--repeats 2] [--threads 1] [--quick]

100 invented contacts, the eight scenarios and thirty short texts, each learnt with byheart's defaults and with
``margin: 0``, in processes of their own that alternate. What is compared is the seconds of reading and training, by the
clock and by the processor, until learning stops by itself. The bar: at most 1.5 times those without a margin. What the
margin is for, recall in other engines, is measured by `engine_noise.py`.
"""

from __future__ import annotations

import argparse
import statistics
from typing import Any

import learning_run
import measure
from short_texts import short_texts

BAR = 1.5
SIZES = {"100 contacts": 100, "eight scenarios": 8, "30 short texts": 30}
"""Records of each memory; the bar is of all of them."""
QUICK_RECORDS = 8
DEFAULT, NONE = "default", "none"
MARGINS: dict[str, dict[str, Any]] = {DEFAULT: {}, NONE: {"margin": 0}}


def main() -> None:
    """Learns each memory in both ways and reports."""
    arguments = _arguments()
    memories = {name: pairs[: arguments.num_records] for name, pairs in all_memories().items()}
    runs: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    told = ""
    for name, pairs in memories.items():
        for margin, repeat in measure.alternating(list(MARGINS), arguments.repeats):
            config = {"seed": measure.FIRST_SEED + repeat, "method": MARGINS[margin]}
            job = learning_run.Job(pairs, config, arguments.threads)
            runs.append({"memory": name, "margin": margin, **learning_run.learnt(job)})
        rows.append(row(name, runs))
        report = {"num_threads": arguments.threads, "machine": measure.machine(), "rows": rows, "runs": runs}
        told = measure.publish(arguments.out, report, text(report), arguments.left_out)
    print(told)


def all_memories() -> dict[str, list[measure.Pair]]:
    """The records of each memory."""
    _, scenarios = measure.phonebook(measure.EXAMPLES / "scenarios.jsonl", SIZES["eight scenarios"])
    texts: list[measure.Pair] = list(short_texts(SIZES["30 short texts"]))
    return dict(zip(SIZES, (measure.invented(SIZES["100 contacts"]), scenarios, texts), strict=True))


def row(name: str, runs: list[dict[str, Any]]) -> dict[str, Any]:
    """What the table says of a memory: of each way the median of its runs, and the worst for what was certified."""
    numbers: dict[str, Any] = {"memory": name}
    for margin in MARGINS:
        mine = [run for run in runs if (run["memory"], run["margin"]) == (name, margin)]
        numbers[margin] = {
            **{each: statistics.median(run[each] for run in mine) for each in ("seconds", "cpu_seconds", "epochs")},
            "num_records": mine[0]["num_records"],
            "num_certified": min(run["num_certified"] for run in mine),
            "min_probability": min(run["min_probability"] for run in mine),
        }
    for unit in ("seconds", "cpu_seconds"):
        numbers[f"{unit}_ratio"] = numbers[DEFAULT][unit] / numbers[NONE][unit]
    return numbers


def text(report: dict[str, Any]) -> str:
    """The table and whether the bar holds, in Markdown."""
    return f"{table(report['rows'])}\n\n{verdict(report['rows'])}"


def verdict(rows: list[dict[str, Any]]) -> str:
    """Whether the bar holds, in a sentence."""
    measured = {each["memory"]: each[DEFAULT]["num_records"] for each in rows}
    if measured != SIZES:
        there = ", ".join(f"{number} of {SIZES[name]} records of {name}" for name, number in measured.items())
        return f"The bar of {BAR:g} is not measured: it is of all records of {', '.join(SIZES)}; here are {there}."
    worst = max(rows, key=lambda each: each["cpu_seconds_ratio"])
    failed = [
        each["memory"] for each in rows for way in MARGINS if each[way]["num_certified"] < each[way]["num_records"]
    ]
    if failed:
        return f"The bar of {BAR:g} is not measured: not every record was certified of {', '.join(failed)}."
    holds = "holds" if worst["cpu_seconds_ratio"] <= BAR else "does not hold"
    return (
        f"The bar of {BAR:g} {holds}: with the default margin {worst['memory']} took "
        f"{worst['cpu_seconds_ratio']:.2f} times the processor's seconds that they took with none; no memory took more."
    )


def table(rows: list[dict[str, Any]]) -> str:
    """The rows in Markdown."""
    names = ("records", "margin", "certified", "lowest p", "epochs", "seconds", "of the processor", "relative")
    cells = [
        [
            each["memory"],
            margin,
            f"{each[margin]['num_certified']} of {each[margin]['num_records']}",
            f"{each[margin]['min_probability']:.2f}",
            f"{each[margin]['epochs']:g}",
            f"{each[margin]['seconds']:.1f}",
            f"{each[margin]['cpu_seconds']:.1f}",
            f"{each['cpu_seconds_ratio']:.2f}" if margin == DEFAULT else "1",
        ]
        for each in rows
        for margin in MARGINS
    ]
    return measure.table(names, cells)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, help="seeds of each (default: 2; with --quick 1)")
    left_out = f"at most {QUICK_RECORDS} records of each memory and one seed, not two, so the bar is not measured"
    arguments = measure.with_files(parser, "margin", left_out=left_out, draws=False)
    arguments.repeats = arguments.repeats or (1 if arguments.quick else 2)
    arguments.num_records = QUICK_RECORDS if arguments.quick else None
    return arguments


if __name__ == "__main__":
    main()
