"""The planner on twenty memories it has not seen: how many are certified at the planned rank, and at a quarter of it.

    python benchmarks/planner.py --layers 0.93 --modules v_proj [--out benchmarks/results/planner.json] [--quick]

A good plan is right and not merely generous: at the planned rank at least 18 of 20 memories are to come back whole, at
a quarter of it at most 4. A planned rank of 1 to 3 has no quarter, and where any of the twenty has none that bar is
open: so choose a placement with few parameters a rank. Of the embedded model a single v_proj has 768, a single
down_proj 2,112, the default placement 30,528. Needs a calibration of the placement ('byheart calibrate'). Each run is
kept as it ends, and the same command goes on with those that are left. A Markdown table is written beside the JSON.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import measure
import torch

import byheart
from byheart.config import RunConfig
from byheart.errors import SettingsError
from byheart.fingerprint import fingerprint
from byheart.memory.records import Memory
from byheart.model.placement import resolve
from byheart.planning.calibration import find
from byheart.planning.need import measured_need
from byheart.planning.planner import plan_for
from byheart.progress import Silent
from byheart.tasks.long_context import read_text
from byheart.tasks.registry import build, parse

SEED = 4711
"""Of names, numbers and random tokens: not that of a calibration."""
SIZES = {
    "phonebook": (20, 40, 80, 150, 300),
    "prose": (50, 100, 150, 200, 300),
    "random": (20, 50, 100, 200, 300),
    "code": (50, 100, 150, 200, 300),
}
"""Records of a phone book, tokens of the others."""
CODE = ("bisect", "textwrap", "fractions", "heapq", "difflib")
"""Modules of Python's library whose source is learnt, one a size."""
NUM_MEMORIES, WANTED_AT_PLAN, ALLOWED_AT_QUARTER = 20, 18, 4
_CHARACTERS_APART = 10_000
_ATTEMPTS = 50


@dataclass(frozen=True)
class Unseen:
    """A memory to be planned for.

    Attributes:
        name: what to call it.
        memory: its records.
    """

    name: str
    memory: Memory


def unseen(tokenizer: Any, *, quick: bool) -> Iterator[Unseen]:
    """The twenty memories; quick: the smallest of each kind."""
    for kind, sizes in SIZES.items():
        for number, size in enumerate(sizes[:1] if quick else sizes):
            yield Unseen(f"{kind} {size}", _memory(kind, size, number, tokenizer))


def _memory(kind: str, size: int, number: int, tokenizer: Any) -> Memory:
    if kind == "phonebook":
        return build(parse({"name": "phonebook", "num_pairs": size, "seed": SEED + number}), tokenizer)
    if kind == "random":
        task = {"name": "long-context", "num_answer_tokens": size, "random_ratio": 1.0, "seed": SEED + number}
        return build(parse(task), tokenizer)
    if kind == "prose":
        return _cut(read_text(None)[(number + 1) * _CHARACTERS_APART :], size, tokenizer)
    spec = find_spec(CODE[number])
    if spec is None or spec.origin is None:
        raise SystemExit(f"this Python has no source of its module {CODE[number]}; use another")
    return _cut(Path(spec.origin).read_text(encoding="utf-8"), size, tokenizer)


def _cut(text: str, num_tokens: int, tokenizer: Any) -> Memory:
    """A piece of a text with so many tokens, from the first line at which it can be cut so."""
    lines = text.splitlines(keepends=True)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "piece.txt"
        for start in range(min(_ATTEMPTS, len(lines))):
            path.write_text("".join(lines[start:]), encoding="utf-8")
            task = {"name": "long-context", "num_answer_tokens": num_tokens, "source": str(path)}
            try:
                return build(parse(task), tokenizer)
            except SettingsError:
                continue  # no beginning of it has just as many tokens
    raise SystemExit(f"no piece of the text has just {num_tokens} tokens for this tokenizer")


def run(
    memories: list[Unseen],
    plan: Callable[[Memory], Any],
    learn: Callable[[Memory, int], dict[str, Any]],
    rows: list[dict[str, Any]],
    keep: Callable[[list[dict[str, Any]]], None],
) -> None:
    """Plans for each memory, learns it at the planned rank and at a quarter of it, and keeps every run as it ends.

    Args:
        memories: to be planned for.
        plan: a memory's plan.
        learn: a memory and a rank → a run's summary.
        rows: runs that are there already; those that are made are added.
        keep: writes them.
    """
    for each in memories:
        made = plan(each.memory)
        for share, rank in ((1.0, made.lora_rank), (0.25, made.lora_rank // 4)):
            if any((row["memory"], row["share"]) == (each.name, share) for row in rows):
                continue
            row = {
                "memory": each.name,
                "share": share,
                "lora_rank": rank,
                "probability": next((at.probability for at in made.ranks if at.lora_rank == rank), None),
                "is_reached": made.is_reached,
                "extrapolates": made.extrapolates,
                "num_answer_tokens": made.num_answer_tokens,
                "nll_before_nats": made.nll_before_nats,
            }
            # A rank below four has no quarter: there is nothing to run, and the memory does not count there.
            if rank > 0:
                summary = learn(each.memory, rank)
                row |= {name: summary[name] for name in ("num_records", "num_certified", "epochs", "train_seconds")}
                row["is_whole"] = summary["num_certified"] == summary["num_records"]
            rows.append(row)
            keep(rows)


def verdict(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """How many memories are certified at either rank, and whether each bar holds: true, false, or None where the runs
    do not decide it. No run that is missing can make good what has failed, and none that could not be run counts as one
    that failed.
    """
    at_plan = [row["is_whole"] for row in rows if row["share"] == 1.0]
    at_quarter = [row["is_whole"] for row in rows if row["share"] == 0.25 and row["lora_rank"] > 0]
    return {
        "num_memories": len(at_plan),
        "num_whole_at_plan": sum(at_plan),
        "num_unreached": sum(row["share"] == 1.0 and not row["is_reached"] for row in rows),
        "num_quartered": len(at_quarter),
        "num_whole_at_quarter": sum(at_quarter),
        "is_right": _decided(
            sum(at_plan) >= WANTED_AT_PLAN, len(at_plan) - sum(at_plan) > NUM_MEMORIES - WANTED_AT_PLAN
        ),
        "is_not_generous": _decided(
            len(at_quarter) == NUM_MEMORIES and sum(at_quarter) <= ALLOWED_AT_QUARTER,
            sum(at_quarter) > ALLOWED_AT_QUARTER,
        ),
    }


def _decided(holds: bool, fails: bool) -> bool | None:
    return True if holds else False if fails else None


def text(report: dict[str, Any]) -> str:
    """A line a memory, and one a bar, in Markdown."""
    rows = report["rows"]
    head = ["memory", "ℓ", "L_before", "planned rank", "P", "certified", "a quarter", "P", "certified"]
    lines: list[list[str]] = []
    for row in (row for row in rows if row["share"] == 1.0):
        quarter = next((each for each in rows if each["memory"] == row["memory"] and each["share"] == 0.25), None)
        lines.append([row["memory"], f"{row['num_answer_tokens']:,}", f"{row['nll_before_nats']:.2f}"])
        lines[-1] += [*_cells(row), *(["", "", ""] if quarter is None else _cells(quarter))]
    return f"{measure.table(head, lines)}\n\n{bars(verdict(rows))}"


_TOLD = {True: "holds", False: "does not hold", None: "open"}


def bars(sums: dict[str, Any]) -> str:
    """Whether each bar holds, a line each in Markdown."""
    at_plan = f"At the planned rank at least {WANTED_AT_PLAN} of {NUM_MEMORIES} are whole"
    at_quarter = f"At a quarter of it at most {ALLOWED_AT_QUARTER} of {NUM_MEMORIES} are"
    planned = f"{sums['num_whole_at_plan']} of {sums['num_memories']} that were run"
    if sums["num_unreached"]:
        planned += f"; of {sums['num_unreached']} no rank reaches the goal, and the largest was run"
    quarter = f"{sums['num_whole_at_quarter']} of {sums['num_quartered']} that were run"
    if sums["is_not_generous"] is None:
        quarter += f"; it takes all {NUM_MEMORIES}, and ranks 1 to 3 have no quarter"
    return (
        f"- {at_plan}: {_TOLD[sums['is_right']]}, {planned}.\n"
        f"- {at_quarter}: {_TOLD[sums['is_not_generous']]}, {quarter}."
    )


def _cells(row: dict[str, Any]) -> list[str]:
    if row["lora_rank"] == 0:
        return ["none", "", ""]
    p = "" if row["probability"] is None else f"{row['probability']:.2f}"
    return [str(row["lora_rank"]), p, f"{row['num_certified']} of {row['num_records']}"]


def main() -> None:
    """Runs what is left, and writes JSON and Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", default="20", help="adapted layers (20)")
    parser.add_argument("--modules", default="down_proj", help="adapted modules (down_proj)")
    left_out = f"the smallest memory of each kind instead of all {NUM_MEMORIES}, too few for either bar to hold"
    arguments = measure.with_files(parser, "planner", left_out=left_out, draws=False)
    torch.set_num_threads(arguments.threads)
    config = RunConfig.build(None, layers=arguments.layers, modules=arguments.modules)
    base = byheart.load_base(config.model)
    outline = resolve(config.placement, base.model, 1)
    calibration = find(base.identity, outline, config)
    head = {
        "layers": arguments.layers,
        "modules": arguments.modules,
        "calibration": fingerprint(calibration.model_dump(mode="json")),
        "byheart": version("byheart"),
        "machine": measure.machine(),
        "threads": arguments.threads,
    }
    rows: list[dict[str, Any]] = []
    if arguments.out.is_file():
        found = json.loads(arguments.out.read_text(encoding="utf-8"))
        if {name: found.get(name) for name in head} != head:
            raise SystemExit(f"{arguments.out} is of another placement, calibration or machine; give another --out")
        rows = found["rows"]

    def keep(rows: list[dict[str, Any]]) -> None:
        report = {**head, "verdict": verdict(rows), "rows": rows}
        measure.publish(arguments.out, report, text(report), arguments.left_out)
        print(f"{rows[-1]['memory']:14} share {rows[-1]['share']:g}  {' '.join(_cells(rows[-1]))}", flush=True)

    def learnt(memory: Memory, rank: int) -> dict[str, Any]:
        plain = config.model_dump(mode="json", exclude={"model"})
        return byheart.learn(memory, base, config=plain, lora_rank=rank).summary()

    run(
        list(unseen(base.tokenizer, quick=arguments.quick)),
        lambda memory: plan_for(measured_need(memory, base, config, outline, Silent()), calibration),
        learnt,
        rows,
        keep,
    )
    print(bars(verdict(rows)), *filter(None, [arguments.left_out]), sep="\n")


if __name__ == "__main__":
    main()
