"""On a GPU: byheart beside the authors' loop on a randomly initialised model of Qwen3-8B's shape.

    python benchmarks/gpu.py --records PB32000.jsonl         3,200 pairs, layer 24, rank 64; needs about 40 GB of a card
    python benchmarks/gpu.py --shape tiny                    on the CPU, a minute: shows that it works, and nothing else

What a step takes depends on a model's shape and not on what it knows, so no weights are needed. All sides have the same
random model (bf16, the embedded model's tokenizer), records and prompt ids; each runs in a process of its own, until
every record comes back to the letter or to ``--max-epochs``. The first epoch warms up and is not counted; the card is
asked to finish before a stopwatch is read. An epoch's seconds are those of one that visits every record: byheart's
records rest once they are known, and an epoch that visits half of them counts as half of one.

What the arithmetic of a pass is, and what its utilisation leaves out, stands in `peers/arithmetic.py`; the rate that it
is a share of is measured on the same device, with a large bf16 matrix product. The table is printed, and written beside
the results.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any

import measure
from peers.gpu_sides import FUSED, Side, flops_a_pass, sides
from peers.race import Job
from peers.shapes import SHAPES, Shape

import byheart

FULL, NUM_RECORDS = "qwen3-8b", {"qwen3-8b": 3200, "tiny": 48}


def main() -> None:
    """Runs the sides in turn and reports."""
    arguments = _arguments()
    shape = SHAPES[arguments.shape]
    try:
        card = measure.in_own_process(
            "peers.card", {"device": arguments.device, "num_threads": arguments.threads}, arguments.threads
        )
    except subprocess.CalledProcessError as error:  # it has said why
        raise SystemExit(error.returncode) from None
    chosen = sides(shape, arguments.max_epochs, arguments.batch_size)
    if arguments.sides:
        chosen = {name: chosen[name] for name in arguments.sides}
    if arguments.device == "cpu" or card["liger_kernel"] is None:
        chosen.pop(FUSED, None)
    runs: list[dict[str, Any]] = []
    told = ""
    for name, repeat in measure.alternating(list(chosen), arguments.repeats):
        runs.append({"name": name, **_run(chosen[name], arguments, measure.FIRST_SEED + repeat)})
        rows = [row(each, chosen[each], shape, card, runs) for each in chosen if any(r["name"] == each for r in runs)]
        report = {
            "shape": {"name": arguments.shape, **asdict(shape)},
            "records": arguments.records.name,
            "num_records": arguments.num_records,
            "card": {"device": arguments.device, **card},
            "machine": measure.machine(),
            "rows": rows,
            "runs": runs,
        }
        told = measure.publish(arguments.out, report, text(report))
    print(told)


def _run(side: Side, arguments: argparse.Namespace, seed: int) -> dict[str, Any]:
    """One run in a process of its own; its outcome."""
    job = Job(
        side=side.peer,
        records=str(arguments.records.resolve()),
        num_records=arguments.num_records,
        num_threads=arguments.threads,
        seed=seed,
        settings=side.settings,
        max_epochs=arguments.max_epochs,
        shape=arguments.shape,
        device=arguments.device,
    )
    result = measure.in_own_process("peers", asdict(job), arguments.threads)
    result["job"]["records"] = arguments.records.name
    return result


def seconds_a_pass(history: list[dict[str, Any]]) -> float:
    """Of visits of every record once, the first epoch not counted.

    >>> seconds_a_pass([{"seconds": 9, "share": 1}, {"seconds": 11, "share": 1}, {"seconds": 12, "share": 0.5}])
    2.0
    """
    return (history[-1]["seconds"] - history[0]["seconds"]) / sum(epoch["share"] for epoch in history[1:])


def row(name: str, side: Side, shape: Shape, card: dict[str, Any], runs: list[dict[str, Any]]) -> dict[str, Any]:
    """What the table says of a side: the median of its runs, the worst for how well it learnt."""
    mine = [run for run in runs if run["name"] == name]
    worst = min(mine, key=lambda run: (run["is_exact"], -run["history"][-1]["loss"]))
    seconds = statistics.median(seconds_a_pass(run["history"]) for run in mine)
    flops, on_card = flops_a_pass(side, shape, worst), [run["peak_device_bytes"] for run in mine]
    peak, above = None, worst["peak_above_model_bytes"]
    if None not in on_card:
        peak, above = max(on_card), max(on_card) - worst["model_device_bytes"]
    return {
        "name": name,
        "label": side.label,
        "num_parameters": worst["num_parameters"],
        "batch_size": worst["engine"].get("batch_size", side.settings.get("batch_size")),
        "seconds_a_pass": seconds,
        "tokens_a_second": worst["num_tokens"] / seconds,
        "flops_a_pass": flops,
        "utilisation": flops / seconds / card["bf16_flops"],
        "peak_device_bytes": peak,
        "peak_above_model_bytes": above,
        "is_exact": worst["is_exact"],
        "epochs": worst["epochs"],
        "seconds": statistics.median(run["seconds"] for run in mine),
        "loss_nats": worst["history"][-1]["loss"],
        "is_cut": side.modules is None or worst["engine"]["cut"] is not None,
        "is_fused": name != FUSED or worst["engine"]["fused_loss"],
    }


def text(report: dict[str, Any]) -> str:
    """The rows in Markdown, and in sentences where they were measured and what they leave out."""
    names = (
        "side, batch, parameters, seconds an epoch, tokens a second, TFLOP an epoch, utilisation, peak memory MB, "
        "above the model MB, end"
    )
    cells = [
        [
            side["label"],
            f"{side['batch_size']}",
            f"{side['num_parameters']:,}",
            f"{side['seconds_a_pass']:.3g}",
            f"{side['tokens_a_second']:,.0f}",
            f"{side['flops_a_pass'] / 1e12:.3g}",
            f"{side['utilisation']:.1%}",
            measure.megabytes(side["peak_device_bytes"]),
            measure.megabytes(side["peak_above_model_bytes"]),
            _end(side),
        ]
        for side in report["rows"]
    ]
    card, liger = report["card"], report["card"]["liger_kernel"]
    lines = [
        measure.table(names.split(", "), cells),
        f"\n{report['num_records']:,} records of {report['records']}, a random {report['shape']['name']} in bf16, "
        f"{card['device_name']}, torch {card['torch']}; utilisation is a share of {card['bf16_flops'] / 1e12:.3g} "
        "TFLOP/s, a large bf16 matrix product's there.",
        f"\nliger-kernel {liger} was there." if liger else "\nliger-kernel was not there: no row has its fused loss.",
    ]
    if card["device"] == "cpu":
        lines.append("\nOn a CPU, where no loss is fused and memory is the process's: of a GPU this says nothing.")
    if uncut := [side["label"] for side in report["rows"] if not side["is_cut"]]:
        lines.append(f"\nThe model could not be cut, all its layers ran in every step: {'; '.join(uncut)}.")
    if unfused := [side["label"] for side in report["rows"] if not side["is_fused"]]:
        lines.append(f"\nThe fused loss is not this model's, and was left out: {'; '.join(unfused)}.")
    return "\n".join(lines)


def _end(side: dict[str, Any]) -> str:
    reached = "exact" if side["is_exact"] else f"loss {side['loss_nats']:.2f}"
    return f"{reached} after {side['epochs']} epochs, {side['seconds']:.0f} s"


def _arguments() -> argparse.Namespace:
    names = list(sides(SHAPES[FULL], 1, None))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=Path, default=measure.EXAMPLES / "contacts.jsonl")
    parser.add_argument("--num-records", type=int, help="how many of them, from the first on (3,200; tiny: 48)")
    parser.add_argument("--shape", choices=list(SHAPES), default=FULL, help=f"of the random model ({FULL})")
    parser.add_argument("--sides", type=lambda text: text.split(","), help=f"some of {', '.join(names)}")
    parser.add_argument("--max-epochs", type=int, default=20, help="ends a run that is not exact by then (20)")
    parser.add_argument("--batch-size", type=int, help="byheart's records a batch; its own default otherwise")
    parser.add_argument("--repeats", type=int, default=1, help="how often every side runs, each time another seed (1)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="benchmarks/results/gpu.json, or gpu_tiny.json")
    arguments = parser.parse_args()
    arguments.device = "cuda" if arguments.shape == FULL else "cpu"
    arguments.num_records = arguments.num_records or NUM_RECORDS[arguments.shape]
    stem = "gpu" if arguments.shape == FULL else f"gpu_{arguments.shape}"
    arguments.out = arguments.out or measure.RESULTS / f"{stem}.json"
    if unknown := [side for side in arguments.sides or [] if side not in names]:
        parser.error(f"no side {', '.join(unknown)}; there are {', '.join(names)}")
    if arguments.max_epochs < 2:
        parser.error(f"--max-epochs {arguments.max_epochs}: the first only warms up; give at least 2")
    if (num_there := len(byheart.Memory.from_file(arguments.records))) < arguments.num_records:
        parser.error(
            f"{arguments.records} has {num_there:,} records, {arguments.num_records:,} are asked for; give --records "
            "another file, such as the paper's PB32000.jsonl, or --num-records"
        )
    return arguments


if __name__ == "__main__":
    main()
