"""The planner on twenty memories it has not seen: how many are certified at the planned rank, and at a quarter of it.

    python benchmarks/planner.py --layers 20 --modules mlp-bypass [--workers 2] [--quick]

A good plan is right and not merely generous: at the planned rank at least 18 of 20 memories are to come back whole, at
a quarter of it at most 4. A planned rank of 1 to 3 has no quarter, and where any of the twenty has none that bar is
open: so choose a placement with few parameters a rank. Of the embedded model a single v_proj has 768, the paper's probe
1,152, a single down_proj 2,112, the default placement 30,528. Needs a calibration of the placement, as the package has
it of the probe; else 'byheart calibrate' makes one.

Each run is kept in the JSON as it ends, and the same command goes on with those that are left; a calibration made since
changes which ranks are asked for, and not what a run came to. A Markdown table is written beside it.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import measure

import byheart
from byheart.config import RunConfig
from byheart.errors import SettingsError
from byheart.fingerprint import fingerprint
from byheart.law.plan import Plan
from byheart.memory.records import Memory
from byheart.model.base import BaseIdentity
from byheart.model.placement import resolve
from byheart.planning.calibration import find, settings_of
from byheart.planning.need import measured_need
from byheart.planning.planner import plan_for
from byheart.progress import Silent
from byheart.sweep.cell import CellResult
from byheart.sweep.driver import Sweep
from byheart.sweep.grid import expand, read_grid
from byheart.sweep.local import LocalEngine
from byheart.sweep.prepare import prepare
from byheart.sweep.progress import Silent as SilentSweep
from byheart.sweep.results import need_pyarrow
from byheart.tasks.long_context import read_text
from byheart.tasks.registry import build, parse

SEED = 4711
"""Of names, numbers and random tokens: not that of a calibration."""
SIZES = {
    "phonebook": (20, 40, 80, 150, 300),
    "prose": (150, 180, 220, 250, 300),
    "random": (70, 100, 150, 200, 300),
    "code": (260, 270, 280, 290, 300),
}
"""Records of a phone book, tokens of the others: the twenty that the bars are of. For each the probe is planned a rank
of 4 or more, which has a quarter."""
SMALLER_SIZES = {"prose": (20, 60), "random": (20, 40), "code": (20, 100)}
"""Of those beside them, of which less is planned: learnt at the planned rank alone, and in no bar."""
CODE = ("textwrap", "shlex", "fractions", "heapq", "configparser")
"""Modules of Python's library whose source is learnt, one a size."""
NUM_MEMORIES, WANTED_AT_PLAN, ALLOWED_AT_QUARTER = 20, 18, 4
_KEPT = (
    "lora_rank",
    "num_records",
    "num_certified",
    "epochs",
    "stop_reason",
    "train_seconds",
    "num_threads",
    "torch_version",
)
_DIGITS = 16
_CHARACTERS_APART = 10_000
_ATTEMPTS = 50


@dataclass(frozen=True)
class Unseen:
    """A memory to be planned for.

    Attributes:
        name: what to call it.
        task: all settings of the task that makes it, as plain values.
        memory: its records.
        is_smaller: whether it is of those in no bar.
    """

    name: str
    task: dict[str, Any]
    memory: Memory
    is_smaller: bool = False

    @property
    def key(self) -> dict[str, str]:
        """By which its runs are found."""
        return {"memory": self.name, "records": self.memory.fingerprint[:_DIGITS]}


@dataclass(frozen=True)
class Planned:
    """A memory and its plan."""

    unseen: Unseen
    plan: Plan

    @property
    def ranks(self) -> dict[float, int]:
        """Share of the planned rank → rank; 0 where that has no such share."""
        whole = {1.0: self.plan.lora_rank}
        return whole if self.unseen.is_smaller else {**whole, 0.25: self.plan.lora_rank // 4}


def unseen(tokenizer: Any, pieces: Path, *, quick: bool) -> Iterator[Unseen]:
    """The twenty memories, and the smaller ones.

    Args:
        tokenizer: of the base model.
        pieces: a directory for the texts that some of them are of.
        quick: the smallest of each kind alone.
    """
    for all_sizes in (SIZES, {} if quick else SMALLER_SIZES):
        for kind, sizes in all_sizes.items():
            for number, size in enumerate(sizes[:1] if quick else sizes):
                yield _unseen(kind, size, number, tokenizer, pieces, is_smaller=all_sizes is SMALLER_SIZES)


def _unseen(kind: str, size: int, number: int, tokenizer: Any, pieces: Path, *, is_smaller: bool) -> Unseen:
    name, seed = f"{kind} {size}", SEED + number
    if kind == "phonebook":
        task: dict[str, Any] = {"name": "phonebook", "num_pairs": size, "seed": seed}
    else:
        task = {"name": "long-context", "num_answer_tokens": size}
        if kind == "random":
            task |= {"random_ratio": 1.0, "seed": seed}
        else:
            text = read_text(None)[(number + 1) * _CHARACTERS_APART :] if kind == "prose" else _source(CODE[number])
            task["source"] = str(_cut(text, size, tokenizer, pieces / f"{name.replace(' ', '_')}.txt"))
    whole = parse(task)
    return Unseen(name, whole.model_dump(mode="json"), build(whole, tokenizer), is_smaller)


def _source(module: str) -> str:
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise SystemExit(f"this Python has no source of its module {module}; use another")
    return Path(spec.origin).read_text(encoding="utf-8")


def _cut(text: str, num_tokens: int, tokenizer: Any, path: Path) -> Path:
    """Writes the text from the first line on from which its beginning can have so many tokens."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = text.splitlines(keepends=True)
    for start in range(min(_ATTEMPTS, len(lines))):
        path.write_text("".join(lines[start:]), encoding="utf-8")
        try:
            build(parse({"name": "long-context", "num_answer_tokens": num_tokens, "source": str(path)}), tokenizer)
        except SettingsError:
            continue  # no beginning of it has just as many tokens
        return path
    raise SystemExit(f"no piece of the text has just {num_tokens} tokens for this tokenizer")


def grid_of(planned: Sequence[Planned], base: dict[str, Any], runs: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
    """Each memory at the planned rank and at a quarter of it, as `byheart.sweep.grid.read_grid` takes it.

    Args:
        planned: memories and their plans.
        base: settings of every run.
        runs: those that are done already.
    """
    sections = []
    for each in planned:
        if ranks := [rank for rank in each.ranks.values() if rank > 0 and _run_of(each, rank, runs) is None]:
            sections.append({"task": each.unseen.task, "axes": {"lora_rank": ranks}})
    return {"base": base, "grids": sections}


def run(each: Planned, result: CellResult) -> dict[str, Any]:
    """What is kept of a run that came to its end.

    Args:
        each: of which memory.
        result: of its cell.
    """
    measured = {name: getattr(result.measured, name) for name in _KEPT}
    return {**each.unseen.key, **measured, "commit": measure.commit()}


def _run_of(each: Planned, rank: int, runs: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    wanted = {**each.unseen.key, "lora_rank": rank}
    return next((run for run in runs if wanted.items() <= run.items()), None)


def rows_of(planned: Sequence[Planned], runs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for each memory and share of which there is a run, or of which there can be none.

    Args:
        planned: memories and their plans.
        runs: so far.
    """
    rows = []
    for each in planned:
        for share, rank in each.ranks.items():
            found = _run_of(each, rank, runs)
            if found is not None or rank == 0:
                rows.append(_row(each, share, found))
    return rows


def _row(planned: Planned, share: float, found: dict[str, Any] | None) -> dict[str, Any]:
    """What a run came to; None: the planned rank has no such share, and the memory does not count there."""
    plan, rank = planned.plan, planned.ranks[share]
    values = {
        "memory": planned.unseen.name,
        "is_smaller": planned.unseen.is_smaller,
        "share": share,
        "lora_rank": rank,
        "probability": next((at.probability for at in plan.ranks if at.lora_rank == rank), None),
        "is_reached": plan.is_reached,
        "extrapolates": plan.extrapolates,
        "num_answer_tokens": plan.num_answer_tokens,
        "nll_before_nats": plan.nll_before_nats,
    }
    if found is not None:
        values |= {name: found[name] for name in ("num_records", "num_certified")}
        values["is_whole"] = found["num_certified"] == found["num_records"]
    return values


def verdict(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """How many memories are certified at either rank, and whether each bar holds: true, false, or None where the runs
    do not decide it. No run that is missing can make good what has failed, and none that could not be run counts as one
    that failed.
    """
    smaller = [row["is_whole"] for row in rows if row["is_smaller"]]
    rows = [row for row in rows if not row["is_smaller"]]
    at_plan = [row["is_whole"] for row in rows if row["share"] == 1.0]
    at_quarter = [row["is_whole"] for row in rows if row["share"] == 0.25 and row["lora_rank"] > 0]
    return {
        "num_memories": len(at_plan),
        "num_whole_at_plan": sum(at_plan),
        "num_unreached": sum(row["share"] == 1.0 and not row["is_reached"] for row in rows),
        "num_quartered": len(at_quarter),
        "num_whole_at_quarter": sum(at_quarter),
        "num_smaller": len(smaller),
        "num_whole_smaller": sum(smaller),
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
        planned += f"; of {sums['num_unreached']} no rank reaches the goal, and what comes nearest was run"
    quarter = f"{sums['num_whole_at_quarter']} of {sums['num_quartered']} that were run"
    if sums["is_not_generous"] is None:
        quarter += f"; it takes all {NUM_MEMORIES}, and ranks 1 to 3 have no quarter"
    lines = [
        f"- {at_plan}: {_TOLD[sums['is_right']]}, {planned}.",
        f"- {at_quarter}: {_TOLD[sums['is_not_generous']]}, {quarter}.",
    ]
    if sums["num_smaller"]:
        whole = f"{sums['num_whole_smaller']} of {sums['num_smaller']}"
        lines.append(
            f"- The {NUM_MEMORIES} were chosen such that a rank of 4 or more is planned for them. Of smaller ones, at "
            f"the planned rank, {whole} are whole."
        )
    return "\n".join(lines)


def _cells(row: dict[str, Any]) -> list[str]:
    if row["lora_rank"] == 0:
        return ["none", "", ""]
    p = "" if row["probability"] is None else f"{row['probability']:.2f}"
    return [str(row["lora_rank"]), p, f"{row['num_certified']} of {row['num_records']}"]


def main() -> None:
    """Runs what is left, and writes JSON and Markdown."""
    arguments = _arguments()
    need_pyarrow()
    config = RunConfig.build(None, layers=arguments.layers, modules=arguments.modules)
    base = byheart.load_base(config.model)
    head = head_of(config, base.identity)
    runs: list[dict[str, Any]] = (measure.earlier(arguments.out, head) or {"runs": []})["runs"]
    outline = resolve(config.placement, base.model, 1)
    calibration = find(base.identity, outline, config)
    with tempfile.TemporaryDirectory() as directory:
        planned = [
            Planned(
                each,
                plan_for(
                    measured_need(each.memory, base, config, outline, Silent()), calibration, dtype=base.identity.dtype
                ),
            )
            for each in unseen(base.tokenizer, Path(directory) / "pieces", quick=arguments.quick)
        ]

        made_with = fingerprint(calibration.model_dump(mode="json"))

        def publish() -> dict[str, Any]:
            rows = rows_of(planned, runs)
            report = {**head, "calibration": made_with, "verdict": verdict(rows), "rows": rows, "runs": runs}
            measure.publish(arguments.out, report, text(report), arguments.left_out)
            return report["verdict"]

        plain = config.model_dump(mode="json", exclude={"format"})
        grid = grid_of(planned, plain, runs)
        drafts = expand(read_grid(grid), "planner") if grid["grids"] else []
        cells = sorted(prepare(drafts, tokenizer_of=lambda *_: base.tokenizer), key=lambda cell: cell.work)
        print(f"{len(cells)} runs to do, {len(runs)} done before", flush=True)

        def keep(result: CellResult) -> None:
            each = next(each for each in planned if each.unseen.task == result.task)
            if result.measured is not None:
                runs.append(run(each, result))
                publish()
            print(_told(each, result), flush=True)

        if cells:
            sweep = Sweep(cells, Path(directory), SilentSweep(), lambda: False, keep)
            sweep.run(LocalEngine(arguments.workers), retry_failed=True)
        print(bars(publish()), *filter(None, [arguments.left_out]), sep="\n")


def head_of(config: RunConfig, base: BaseIdentity) -> dict[str, Any]:
    """What runs have to have in common with those that are kept: placement, engine and other settings, and model."""
    settings = settings_of(config)
    return {
        "layers": config.placement.layers,
        "modules": config.placement.modules,
        "engine": settings["engine"]["version"],
        "settings": fingerprint(settings),
        "weights": base.weights_sha256,
        "dtype": base.dtype,
        "machine": measure.machine(),
    }


def _told(each: Planned, result: CellResult) -> str:
    rank, measured = result.run["placement"]["lora_rank"], result.measured
    came = result.error if measured is None else f"{measured.num_certified} of {measured.num_records} certified"
    return f"{each.unseen.name}, rank {rank}: {came}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", default="20", help="adapted layers (20)")
    parser.add_argument("--modules", default="mlp-bypass", help="adapted modules (mlp-bypass)")
    parser.add_argument("--workers", type=int, default=1, help="processes that learn, the cores divided among them (1)")
    left_out = f"the smallest memory of each kind instead of all {NUM_MEMORIES}, too few for either bar to hold"
    return measure.with_files(parser, "planner", left_out=left_out, draws=False, has_threads=False)


if __name__ == "__main__":
    main()
