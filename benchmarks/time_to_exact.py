"""Time to exact: seconds of training until every record comes back to the letter in the free run, beside the peers.

    python benchmarks/time_to_exact.py [--records FILE] [--sides byheart,trl] [--threads 1] [--quick]
    python benchmarks/time_to_exact.py --grid --sides trl,trainer       chooses the peers' settings; hours

The bars, at 100 records: TRL + PEFT at least 15 times byheart's seconds and no less of its memory, Trainer + PEFT at
the same placement at least 5 times, the authors' loop at least 10 times. A table is written beside the results.

The same machine, embedded model (bf16), records and prompt ids for all sides; what each of them is stands in
`peers/`, a file a side. Evaluation is left out of the seconds of all sides and given apart; byheart's include the pass
that reads the records and its choice of a rank, which the others do not have.

A side runs from its start to exact match 1.0, or to the end of its budget, in a process of its own: memory marks and
thread pools are then its own too. Whole sides are alternated, never two at once: the second repeat goes through them
backwards (A B C, C B A, …), so that a machine that grows slower or faster over the hours does so for all. Each repeat
has another seed, the same for all sides; the median is reported, and every run is kept in the file.

The process that starts the others loads no torch: on Linux a child's memory mark begins at its parent's.
"""

from __future__ import annotations

import argparse
import importlib
import json
import statistics
from dataclasses import asdict
from pathlib import Path
from typing import Any

import measure
import pictures
from bars import NUM_RECORDS, OURS, times, verdict
from peers import SIDES
from peers.race import Job

import byheart
from byheart.memory.information import compressed_bits

QUICK_SIDES, QUICK_RECORDS = ["byheart", "trl", "trainer"], 20
_ASKED = ("settings", "records", "num_records", "num_threads")
"""What makes a point of a grid another run."""


def main() -> None:
    """Runs the race, or a grid of settings."""
    arguments = _arguments()
    if arguments.grid:
        for side in arguments.sides:
            run_grid(side, arguments)
        return
    answers = [record.answer for record in byheart.Memory.from_file(arguments.records)][: arguments.num_records]
    bits = compressed_bits(answers)
    runs: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    told = ""
    for side, repeat in measure.alternating(arguments.sides, arguments.repeats):
        runs.append(run_side(side, best_settings(side, arguments), arguments, measure.FIRST_SEED + repeat))
        rows = [row(name, runs, bits) for name in arguments.sides if of_side(name, runs)]
        report = {
            "records": arguments.records.name,
            "num_records": len(answers),
            "num_threads": arguments.threads,
            "machine": measure.machine(),
            "rows": rows,
            "runs": runs,
        }
        told = measure.publish(arguments.out, report, text(report), arguments.left_out)
    print(told)
    draw(rows, len(answers), arguments.picture)


def run_side(side: str, settings: dict[str, Any], arguments: argparse.Namespace, seed: int) -> dict[str, Any]:
    """One run in a process of its own; its outcome."""
    job = Job(
        side=side,
        records=str(arguments.records.resolve()),
        num_records=arguments.num_records,
        num_threads=arguments.threads,
        seed=seed,
        settings=settings,
        max_epochs=arguments.max_epochs,
        max_seconds=60 * arguments.minutes if arguments.minutes else None,
    )
    result = measure.in_own_process("peers", asdict(job), arguments.threads)
    result["job"]["records"] = arguments.records.name
    return result


def row(side: str, runs: list[dict[str, Any]], bits: int) -> dict[str, Any]:
    """What the table and the picture say of a side: the median of its runs, and the worst for whether it is exact.

    Args:
        side: its name.
        runs: outcomes of all sides.
        bits: of the answers, compressed; the same for all sides.
    """
    mine = of_side(side, runs)
    worst = min(mine, key=lambda run: run["best_num_exact"] + run["is_exact"])

    def median(name: str) -> float:
        return statistics.median(run[name] for run in mine)

    return {
        "side": side,
        "label": importlib.import_module(SIDES[side]).LABEL,
        "is_exact": worst["is_exact"],
        "was_cut_off": _was_cut_off(worst),
        "can_be_exact": _can_be_exact(worst),
        "settings": worst["job"]["settings"],
        "num_runs": len(mine),
        "seconds": median("seconds"),
        "evaluation_seconds": median("evaluation_seconds"),
        "epochs": median("epochs"),
        "best_num_exact": worst["best_num_exact"],
        "best_epoch": worst["best_epoch"],
        "lora_rank": worst["lora_rank"],
        "num_parameters": worst["num_parameters"],
        "bits_per_parameter": bits / worst["num_parameters"] if worst["is_exact"] else None,
        "peak_bytes": median("peak_bytes"),
        "peak_above_model_bytes": median("peak_above_model_bytes") if worst["peak_above_model_bytes"] else None,
        "notes": {name: statistics.median(run["notes"][name] for run in mine) for name in worst["notes"]},
    }


def _was_cut_off(run: dict[str, Any]) -> bool:
    """Whether a run ended before it was exact and before its own budget did."""
    job, own = run["job"], run["job"]["settings"].get("epochs")
    by_epochs = job["max_epochs"] is not None and run["epochs"] >= job["max_epochs"] and job["max_epochs"] != own
    by_seconds = job["max_seconds"] is not None and run["seconds"] >= job["max_seconds"]
    return not run["is_exact"] and (by_epochs or by_seconds)


def _can_be_exact(run: dict[str, Any]) -> bool:
    """Whether a side's settings were exact, here or in its recorded grid; those that nobody chose are taken to be."""
    side, settings = run["job"]["side"], run["job"]["settings"]
    if run["is_exact"] or not _points(side):
        return True
    return any(each["is_exact"] and each["job"]["settings"] == settings for each in _tried(_grid_file(side)))


def of_side(side: str, runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The runs of one side."""
    return [run for run in runs if run["job"]["side"] == side]


def text(report: dict[str, Any]) -> str:
    """The table, where it was measured, and whether the bars hold, in Markdown."""
    rows, num_records, num_threads = report["rows"], report["num_records"], report["num_threads"]
    numbers = {row["num_runs"] for row in rows}
    runs = "one run" if numbers == {1} else f"medians of {' or '.join(map(str, sorted(numbers)))} runs"
    where = (
        f"{num_records} records of {report['records']}, {num_threads} {'thread' if num_threads == 1 else 'threads'}, "
        f"{report['machine']}; {runs} a side."
    )
    settings = "\n".join(f"- {row['label']}: {_chosen(row)}" for row in rows if row["settings"])
    return f"{table(rows, num_records)}\n\n{where}\n\n{settings}\n\n{verdict(rows, num_records)}"


def _chosen(row: dict[str, Any]) -> str:
    """A side's settings, and how much of its grid they are the best of."""
    points, told = _points(row["side"]), _point(row["settings"])
    if not points:
        return f"{told}."
    tried = [row["settings"], *(run["job"]["settings"] for run in _tried(_grid_file(row["side"])))]
    return f"{told}; of its grid {sum(each in tried for each in points)} of {len(points)} points run."


def table(rows: list[dict[str, Any]], num_records: int) -> str:
    """The rows in Markdown, and in a sentence what byheart's seconds are made of."""
    names = (
        "side, seconds to exact, times byheart, evaluation s, epochs, exact match, rank, parameters, bits a parameter, "
        "peak memory MB, above the model MB"
    )
    ours = next((side for side in rows if side["side"] == OURS), None)
    cells = [
        [
            side["label"],
            _to_exact(side, num_records),
            "" if ours is None else times(side, ours),
            f"{side['evaluation_seconds']:.0f}",
            f"{side['epochs']:g}",
            f"{side['best_num_exact'] / num_records:.2f}",
            f"{side['lora_rank']}",
            f"{side['num_parameters']:,}",
            "" if side["bits_per_parameter"] is None else f"{side['bits_per_parameter']:.4f}",
            measure.megabytes(side["peak_bytes"]),
            measure.megabytes(side["peak_above_model_bytes"]),
        ]
        for side in rows
    ]
    lines = [measure.table(names.split(", "), cells)]
    for side in rows:
        if (with_looks := side["notes"].get("seconds_with_looks")) is not None:
            reading = side["notes"]["reading_seconds"]
            lines.append(
                f"\nOf {side['label']}'s {side['seconds']:.1f} s, reading the records took {reading:.1f} s; "
                f"with its own looks at how far it is, it took {with_looks:.1f} s."
            )
    return "\n".join(lines)


def _to_exact(side: dict[str, Any], num_records: int) -> str:
    if side["is_exact"]:
        return f"{side['seconds']:.1f}"
    best = f"best {side['best_num_exact']} of {num_records} at epoch {side['best_epoch']}"
    return f"not reached in {side['seconds']:.0f} s: {best}"


def draw(rows: list[dict[str, Any]], num_records: int, path: Path) -> None:
    """Horizontal bars, one a side: full where all records were exact, hatched where they were not."""
    figure, (axes,) = pictures.panels(9, 0.9 + 0.5 * len(rows))
    labels = [f"{side['seconds']:.0f} s" if side["is_exact"] else _to_exact(side, num_records) for side in rows]
    pictures.bars(
        axes,
        [side["label"] for side in rows],
        [side["seconds"] for side in rows],
        labels,
        [side["is_exact"] for side in rows],
    )
    axes.set_xlabel(f"seconds of training until {num_records} of {num_records} records come back to the letter")
    pictures.save(figure, path)


def run_grid(side: str, arguments: argparse.Namespace) -> None:
    """Tries the settings of a side's GRID that its file does not hold yet; the file is written anew after each, and
    its table once there is something in it.
    """
    path = _grid_file(side, is_quick=arguments.quick)
    runs = _tried(path)
    for settings in _points(side):
        asked = (settings, arguments.records.name, arguments.num_records, arguments.threads)
        if not any(tuple(run["job"][name] for name in _ASKED) == asked and _is_settled(run, runs) for run in runs):
            runs = [run for run in runs if tuple(run["job"][name] for name in _ASKED) != asked]
            runs.append(run_side(side, settings, arguments, measure.FIRST_SEED))
            measure.write(path, runs)
    print(measure.publish(path, runs, grid_text(runs)))


def _is_settled(run: dict[str, Any], runs: list[dict[str, Any]]) -> bool:
    """Whether a point need not be run again: it came to its end, or was cut off when it could be the best no more."""
    same = [each for each in runs if all(each["job"][name] == run["job"][name] for name in _ASKED[1:])]
    return not _was_cut_off(run) or any(each["is_exact"] and each["cpu_seconds"] <= run["cpu_seconds"] for each in same)


def grid_text(runs: list[dict[str, Any]]) -> str:
    """A side's grid in Markdown, the best first, and the points of it that have not been run."""
    side = runs[0]["job"]["side"]
    cells = [
        [
            _point(run["job"]["settings"]),
            f"{run['epochs']}, {_how_it_ended(run)}",
            f"{run['seconds']:.0f}",
            f"{run['cpu_seconds']:.0f}",
            measure.megabytes(run["peak_bytes"]),
        ]
        for run in sorted(runs, key=_how_good)
    ]
    names = ("settings", "epochs", "seconds", "of the processor", "peak memory MB")
    settings = [run["job"]["settings"] for run in runs]
    missing = [_point(each) for each in _points(side) if each not in settings]
    not_run = f"Of the grid not run: {'; '.join(missing)}." if missing else "All of the grid has been run."
    return f"{measure.table(names, cells)}\n\n{importlib.import_module(SIDES[side]).LABEL}. {not_run}"


def _how_it_ended(run: dict[str, Any]) -> str:
    if run["is_exact"]:
        return "exact"
    return f"{run['best_num_exact']} right at best{', then cut off' if _was_cut_off(run) else ''}"


def _point(settings: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items())


def best_settings(side: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """The best of a side's recorded grid; where there is none, what its file says. The table says which."""
    path = _grid_file(side)
    if arguments.quick and not path.exists():
        path = _grid_file(side, is_quick=True)
    if tried := _tried(path):
        return min(tried, key=_how_good)["job"]["settings"]
    return importlib.import_module(SIDES[side]).SETTINGS


def _how_good(run: dict[str, Any]) -> tuple[float, ...]:
    """For sorting: exact soonest, by the processor's seconds, which a busy machine disturbs least; else most right."""
    if run["is_exact"]:
        return (0, run["cpu_seconds"])
    return (1, -run["best_num_exact"], run["best_epoch"])


def _points(side: str) -> list[dict[str, Any]]:
    """A side's settings at each point of its grid; none where there is nothing to choose."""
    module = importlib.import_module(SIDES[side])
    return [{**module.SETTINGS, **choice} for choice in module.GRID]


def _tried(path: Path) -> list[dict[str, Any]]:
    """The runs of a recorded grid; none where there is no file."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else []


def _grid_file(side: str, *, is_quick: bool = False) -> Path:
    return measure.RESULTS / f"{side}_grid{'_quick' if is_quick else ''}.json"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=Path, default=measure.EXAMPLES / "contacts.jsonl")
    parser.add_argument("--num-records", type=int, help=f"how many of them, from the first on ({NUM_RECORDS})")
    parser.add_argument("--sides", type=lambda text: text.split(","), help=f"some of {', '.join(SIDES)}")
    parser.add_argument("--repeats", type=int, help="how often every side runs (2)")
    parser.add_argument("--max-epochs", type=int, help="ends a peer's run that is not exact by then")
    parser.add_argument("--minutes", type=float, help="of training, likewise: the epoch under way is then the last")
    parser.add_argument("--grid", action="store_true", help="try the peers' settings instead, and record the best")
    without = ", ".join(side for side in SIDES if side not in QUICK_SIDES)
    left_out = f"{QUICK_RECORDS} records, not {NUM_RECORDS}, one seed, not two, and without the side {without}"
    arguments = measure.with_files(parser, "time_to_exact", left_out=left_out)
    quick = arguments.quick
    arguments.num_records = arguments.num_records or (QUICK_RECORDS if quick else NUM_RECORDS)
    arguments.repeats = arguments.repeats or (1 if quick else 2)
    arguments.sides = arguments.sides or (QUICK_SIDES if quick else list(SIDES))
    if unknown := [side for side in arguments.sides if side not in SIDES]:
        parser.error(f"no side {', '.join(unknown)}; there are {', '.join(SIDES)}")
    if arguments.grid:
        arguments.sides = [side for side in arguments.sides if _points(side)]
        if not arguments.sides:
            parser.error("--grid: none of these sides has settings to choose from; trl and trainer have")
    return arguments


if __name__ == "__main__":
    main()
