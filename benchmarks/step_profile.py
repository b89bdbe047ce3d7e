"""Where the time of one training step goes, in per cent, with the savings off and switched on one after the other.

    python benchmarks/step_profile.py [--records FILE] [--steps 20] [--threads 1] [--quick]

Steps of ten names and numbers at byheart's defaults, rank 16, on the embedded model. `STAGES` switches on what a step
can be switched: the cut, the shared prompt together with the last layer that works where it is read, the shortlist.
Short rows' attention (on behind the shared prompt) and batches of similar length are not switched.

The milliseconds are a median of steps without a profiler, the stages alternating. The shares are of the same steps
under torch's profiler, which slows small operations most: they say what is large, and are no milliseconds. Kinds are
told apart by the operation's name and, for products, by whether the adapter's rank is among its sizes.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import measure
import torch

import byheart
from byheart.config import RunConfig
from byheart.learning.evaluate import likely_words
from byheart.learning.initial import point_at
from byheart.learning.step import Stepper
from byheart.memory.encode import encode
from byheart.method.registry import build
from byheart.model.adapter import Adapter
from byheart.model.base import Base
from byheart.model.placement import resolve
from byheart.model.split import SplitModel, split
from byheart.planning.need import reading
from byheart.progress import Silent

NUM_RECORDS, LORA_RANK = 100, 16
NUM_STEPS, QUICK_STEPS = 20, 3
RATE = 1e-4
"""So low that what is learnt stays as it is: every step of a stage has the same work."""


@dataclass(frozen=True)
class Stage:
    """Which savings are on.

    Attributes:
        label: what tables call it.
        is_cut: steps begin at the lowest adapted layer, from cached activations.
        shares: the shared prompt runs once, and the last layer works only where its result is read.
        shortlist: the head takes some words.
    """

    label: str
    is_cut: bool
    shares: bool
    shortlist: bool

    def parts(self, everything: SplitModel) -> SplitModel:
        """The model with this stage's savings.

        Raises:
            SystemExit: it does not allow one of them.
        """
        if self.shares and not (everything.shares_prompt and everything.skips_unread):
            raise SystemExit(f"nothing to measure at {self.label!r}: this model does not allow it")
        return replace(
            everything,
            cut=everything.cut if self.is_cut else None,
            shares_prompt=self.shares,
            skips_unread=self.shares,
        )


STAGES = (
    Stage("all layers, padded rows, whole vocabulary", is_cut=False, shares=False, shortlist=False),
    Stage("from cached activations", is_cut=True, shares=False, shortlist=False),
    Stage("and shared prompt, last layer where it is read", is_cut=True, shares=True, shortlist=False),
    Stage("and shortlist: everything", is_cut=True, shares=True, shortlist=True),
)

PRODUCTS = {"aten::mm", "aten::addmm", "aten::mkldnn_linear"}
ATTENTION = {"aten::bmm", "aten::baddbmm", "aten::_softmax", "aten::_softmax_backward_data"}
OPTIMIZER = {"aten::_fused_adamw_", "aten::lerp_", "aten::linalg_vector_norm"}
OPTIMIZER |= {"aten::_foreach_norm", "aten::_foreach_lerp_", "aten::_foreach_mul_"}
"""Clipping and the running mean among it; on a CPU those fall into an operation a tensor."""
KINDS = (
    "the model's products",
    "the adapter's products",
    "attention",
    "softmax over words",
    "optimizer",
    "elementwise, sums, copies",
    "autograd and Python",
)


def main() -> None:
    """Measures the stages and reports."""
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    name, pairs = measure.phonebook(arguments.records, NUM_RECORDS)
    config = RunConfig.build({"seed": measure.FIRST_SEED, "placement": {"lora_rank": LORA_RANK}})
    base = byheart.load_base(config.model)
    milliseconds: dict[str, list[float]] = {stage.label: [] for stage in STAGES}
    kinds: dict[str, dict[str, float]] = {}
    stages = {stage.label: stage for stage in STAGES}
    for label, repeat in measure.alternating(list(stages), arguments.repeats):
        with steps_of(stages[label], base, byheart.Memory.from_pairs(pairs), config) as take_step:
            take_step()  # the first warms up
            milliseconds[label] += [_milliseconds(take_step) for _ in range(arguments.steps)]
            if repeat == 0:
                kinds[label] = shares(take_step, arguments.steps)
    report = {
        "records": name,
        "num_threads": arguments.threads,
        "machine": measure.machine(),
        "dtype": str(base.dtype).removeprefix("torch."),
        "rows": [
            {
                "stage": label,
                "milliseconds": statistics.median(milliseconds[label]),
                "least_milliseconds": min(milliseconds[label]),
                "shares": kinds[label],
            }
            for label in stages
        ],
        "milliseconds": milliseconds,
    }
    print(measure.publish(arguments.out, report, text(report), arguments.left_out))


@contextmanager
def steps_of(stage: Stage, base: Base, memory: Any, config: RunConfig) -> Iterator[Callable[[], None]]:
    """A function that takes the next step over the memory, batch after batch, at one stage."""
    encoded = encode(memory, base.tokenizer)
    placement = resolve(config.placement, base.model, LORA_RANK)
    parts = stage.parts(split(base.model, placement.layers[0]))
    with reading(encoded, parts, base, config, Silent()) as activations:
        adapter = Adapter.initialised(placement, base.device, config.seed)
        point_at(adapter, parts, activations, config.seed)
        method = build(config.method, config.learn.budget_epochs(len(encoded)), config.learn.batch_size)
        vocabulary = likely_words(parts, activations) if stage.shortlist else None
        if stage.shortlist and vocabulary is None:
            raise SystemExit(f"nothing to measure at {stage.label!r}: this vocabulary is too small for a shortlist")
        stepper = Stepper(parts, adapter, activations, method.weighting, config.learn, vocabulary)
        num_taken, state = 0, {}

        def take_step() -> None:
            nonlocal num_taken, state
            start = num_taken * config.learn.batch_size % len(encoded)
            indices = range(start, min(start + config.learn.batch_size, len(encoded)))
            _, state = stepper.step(indices, RATE, state, num_taken)
            num_taken += 1

        yield take_step


def _milliseconds(take_step: Callable[[], object]) -> float:
    begun = time.perf_counter()
    take_step()
    return 1000 * (time.perf_counter() - begun)


def shares(take_step: Callable[[], object], num_steps: int) -> dict[str, float]:
    """Of the time of some steps, what each of `KINDS` takes; together 1."""
    # What lies between operations is the time of "steps" itself.
    processor = [torch.profiler.ProfilerActivity.CPU]
    with (
        torch.profiler.profile(activities=processor, record_shapes=True) as profile,
        torch.profiler.record_function("steps"),
    ):
        for _ in range(num_steps):
            take_step()
    seconds: dict[str, float] = dict.fromkeys(KINDS, 0.0)
    for event in profile.key_averages(group_by_input_shape=True):
        seconds[kind(event.key, event.input_shapes)] += event.self_cpu_time_total
    total = sum(seconds.values())
    return {each: spent / total for each, spent in seconds.items()}


def kind(name: str, sizes: list[list[int]]) -> str:
    """Which of `KINDS` an operation is of.

    >>> kind("aten::mm", [[220, 576], [576, 16]])
    "the adapter's products"
    """
    if name in PRODUCTS:
        is_adapters = any(LORA_RANK in size for size in sizes)
        return "the adapter's products" if is_adapters else "the model's products"
    if name in ATTENTION or "scaled_dot_product" in name:
        return "attention"
    if "log_softmax" in name or "logsumexp" in name:
        return "softmax over words"
    if name in OPTIMIZER:
        return "optimizer"
    return "elementwise, sums, copies" if name.startswith("aten::") else "autograd and Python"


def text(report: dict[str, Any]) -> str:
    """A row a stage, in Markdown."""
    first = report["rows"][0]
    cells = [
        [
            row["stage"],
            f"{row['milliseconds']:.0f}",
            f"{row['milliseconds'] / first['milliseconds']:.2f}",
            f"{row['least_milliseconds']:.0f}",
            f"{row['least_milliseconds'] / first['least_milliseconds']:.2f}",
            *(f"{100 * row['shares'][each]:.0f}" for each in KINDS),
        ]
        for row in report["rows"]
    ]
    names = ["a step of ten records", "median ms", "relative", "least ms", "relative", *(f"{each} %" for each in KINDS)]
    num_threads = report["num_threads"]
    where = (
        f"{report['records']}, {report['dtype']}, {num_threads} {'thread' if num_threads == 1 else 'threads'}, "
        f"{report['machine']}; shares under the profiler."
    )
    return f"{measure.table(names, cells)}\n\n{where}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=Path, help="a file of records; the first are taken")
    parser.add_argument("--steps", type=int, help=f"of each stage and repeat ({NUM_STEPS})")
    left_out = f"{QUICK_STEPS} steps a stage, once, not {NUM_STEPS} twice: a median of so few moves with the machine"
    arguments = measure.with_files(parser, "step_profile", left_out=left_out, draws=False)
    arguments.repeats = 1 if arguments.quick else 2
    arguments.steps = arguments.steps or (QUICK_STEPS if arguments.quick else NUM_STEPS)
    return arguments


if __name__ == "__main__":
    main()
