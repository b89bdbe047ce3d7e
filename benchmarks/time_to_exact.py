"""Time to exact: seconds of training until every record comes back to the letter in the free run, beside the peers.

    python benchmarks/time_to_exact.py [--records FILE] [--sides byheart,trl] [--threads 1] [--quick]
    python benchmarks/time_to_exact.py --grid --sides trl,trainer       chooses the peers' settings; hours

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
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from peers import SIDES
from peers.race import Job

import byheart
from byheart.memory.information import compressed_bits

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
PICTURE = HERE.parent / "docs" / "images" / "time_to_exact.svg"
FIRST_SEED = 42
QUICK_SIDES, QUICK_RECORDS = ["byheart", "trl", "trainer"], 20


def main() -> None:
    """Runs the race, or a grid of settings."""
    arguments = _arguments()
    if arguments.grid:
        for side in arguments.sides:
            run_grid(side, arguments)
        return
    answers = [record.answer for record in byheart.Memory.from_file(arguments.records)][: arguments.num_records]
    runs: list[dict[str, Any]] = []
    for side, repeat in alternating(arguments.sides, arguments.repeats):
        runs.append(run_side(side, best_settings(side), arguments, FIRST_SEED + repeat))
        rows = [row(name, runs, compressed_bits(answers)) for name in arguments.sides if of_side(name, runs)]
        report = {
            "records": arguments.records.name,
            "num_records": len(answers),
            "num_threads": arguments.threads,
            "machine": f"{platform.platform()}, {platform.machine()}, {os.cpu_count()} cores",
            "rows": rows,
            "runs": runs,
        }
        _write(arguments.out, report)
    print(table(rows, len(answers)))
    if arguments.quick:
        left_out = [side for side in SIDES if side not in arguments.sides]
        print(
            f"\nQuick: {len(answers)} records, not 100, and {arguments.repeats} repeat; without {', '.join(left_out)}. "
            "The figures to quote are those of a full run."
        )
    draw(rows, len(answers), arguments.picture)


def alternating(sides: list[str], repeats: int) -> list[tuple[str, int]]:
    """Side and repeat in the order in which they run: every other repeat goes backwards.

    >>> alternating(["a", "b"], 2)
    [('a', 0), ('b', 0), ('b', 1), ('a', 1)]
    """
    return [(side, repeat) for repeat in range(repeats) for side in (reversed(sides) if repeat % 2 else sides)]


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
    )
    threads = {name: str(arguments.threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    environment = {**os.environ, **threads, "PYTHONPATH": str(HERE), "TOKENIZERS_PARALLELISM": "false"}
    with tempfile.TemporaryDirectory() as directory:
        outcome = Path(directory) / "outcome.json"
        command = [sys.executable, "-W", "ignore::FutureWarning", "-m", "peers", json.dumps(asdict(job)), str(outcome)]
        subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
        result = json.loads(outcome.read_text(encoding="utf-8"))
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
        "seconds": median("seconds"),
        "evaluation_seconds": median("evaluation_seconds"),
        "epochs": median("epochs"),
        "best_num_exact": worst["best_num_exact"],
        "best_epoch": worst["best_epoch"],
        "lora_rank": worst["lora_rank"],
        "num_parameters": worst["num_parameters"],
        "bits_per_parameter": bits / worst["num_parameters"],
        "peak_bytes": median("peak_bytes"),
        "peak_above_model_bytes": median("peak_above_model_bytes") if worst["peak_above_model_bytes"] else None,
        "notes": {name: statistics.median(run["notes"][name] for run in mine) for name in worst["notes"]},
    }


def of_side(side: str, runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The runs of one side."""
    return [run for run in runs if run["job"]["side"] == side]


def table(rows: list[dict[str, Any]], num_records: int) -> str:
    """The rows in Markdown, and in a sentence what byheart's seconds are made of."""
    lines = [
        "| side | seconds to exact | evaluation, s | epochs | exact match | rank | parameters | bits a parameter "
        "| peak memory, MB | above the model, MB |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for side in rows:
        above = side["peak_above_model_bytes"]
        cells = [
            side["label"],
            _to_exact(side, num_records),
            f"{side['evaluation_seconds']:.0f}",
            f"{side['epochs']:g}",
            f"{side['best_num_exact'] / num_records:.2f}",
            f"{side['lora_rank']}",
            f"{side['num_parameters']:,}",
            f"{side['bits_per_parameter']:.4f}",
            f"{side['peak_bytes'] / 1e6:,.0f}",
            "" if above is None else f"{above / 1e6:,.0f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
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
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "byheart", "hatch.linewidth": 0.6})
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(9, 0.9 + 0.5 * len(rows)), layout="constrained")
    for at, side in enumerate(rows):
        style = {"color": "0.25"} if side["is_exact"] else {"facecolor": "1", "edgecolor": "0.45", "hatch": "////"}
        axes.barh(at, side["seconds"], height=0.6, **style)
        label = f"{side['seconds']:.0f} s" if side["is_exact"] else _to_exact(side, num_records)
        axes.annotate(label, (side["seconds"], at), xytext=(5, 0), textcoords="offset points", va="center")
    axes.set_yticks(range(len(rows)), [side["label"] for side in rows])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.6 * max(side["seconds"] for side in rows))
    axes.set_xlabel(f"seconds of training until {num_records} of {num_records} records come back to the letter")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(left=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})


def run_grid(side: str, arguments: argparse.Namespace) -> None:
    """Tries the settings of a side's GRID that its file does not hold yet, and writes the file anew after each."""
    module, path = importlib.import_module(SIDES[side]), _grid_file(side)
    runs = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    for choice in module.GRID:
        settings = {**module.SETTINGS, **choice}
        if all(run["job"]["settings"] != settings for run in runs):
            runs.append(run_side(side, settings, arguments, FIRST_SEED))
            _write(path, runs)
    for run in sorted(runs, key=_how_good):
        result = f"exact after epoch {run['epochs']}" if run["is_exact"] else f"{run['best_num_exact']} right at best"
        print(f"{side}: {result}, {run['cpu_seconds']:.0f} s of the processor, {run['job']['settings']}")


def best_settings(side: str) -> dict[str, Any]:
    """The best of a side's recorded grid; where there is none, what its file says."""
    path = _grid_file(side)
    if not path.exists():
        return importlib.import_module(SIDES[side]).SETTINGS
    return min(json.loads(path.read_text(encoding="utf-8")), key=_how_good)["job"]["settings"]


def _how_good(run: dict[str, Any]) -> tuple[float, ...]:
    """For sorting: exact soonest, by the processor's seconds, which a busy machine disturbs least; else most right."""
    if run["is_exact"]:
        return (0, run["cpu_seconds"])
    return (1, -run["best_num_exact"], run["best_epoch"])


def _grid_file(side: str) -> Path:
    return RESULTS / f"{side}_grid.json"


def _write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=Path, default=HERE.parent / "examples" / "contacts.jsonl")
    parser.add_argument("--num-records", type=int, help="how many of them, from the first on (100)")
    parser.add_argument("--sides", type=lambda text: text.split(","), help=f"some of {', '.join(SIDES)}")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, help="how often every side runs (2)")
    parser.add_argument("--max-epochs", type=int, help="ends a peer's run that is not exact by then")
    parser.add_argument("--grid", action="store_true", help="try the peers' settings instead, and record the best")
    parser.add_argument("--quick", action="store_true", help="20 records, one repeat, without the authors' 200 epochs")
    parser.add_argument("--out", type=Path, help="benchmarks/results/time_to_exact.json")
    parser.add_argument("--picture", type=Path, help="docs/images/time_to_exact.svg")
    arguments = parser.parse_args()
    quick = arguments.quick
    arguments.num_records = arguments.num_records or (QUICK_RECORDS if quick else 100)
    arguments.repeats = arguments.repeats or (1 if quick else 2)
    arguments.sides = arguments.sides or (QUICK_SIDES if quick else list(SIDES))
    name = "time_to_exact_quick" if quick else "time_to_exact"  # a quick run does not write over a full one's results
    arguments.out = arguments.out or RESULTS / f"{name}.json"
    arguments.picture = arguments.picture or (Path("runs") / f"{name}.svg" if quick else PICTURE)
    if unknown := [side for side in arguments.sides if side not in SIDES]:
        parser.error(f"no side {', '.join(unknown)}; there are {', '.join(SIDES)}")
    return arguments


if __name__ == "__main__":
    main()
