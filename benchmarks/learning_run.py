"""One `byheart.learn` in a process of its own, measured: ``python -m learning_run JOB OUTCOME``.

    seconds = reading (from the call to the first step) + training (of steps)

Reading is encoding, the check of the model's parts, the pass that caches activations, the choice of a rank and of first
weights. Looks at how far a run is, and the certificate, are evaluation, and in neither. Memory is marked once the
libraries and the model have been loaded.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest import mock

import measure


@dataclass(frozen=True)
class Job:
    """What is to be learnt, and how.

    Attributes:
        pairs: prompts and answers.
        config: settings of `byheart.learn`; what is not here is its default.
        num_threads: of torch.
        exchanged: fields of the `SplitModel` that are given another value: savings that have no setting.
        attends_as_long: whether rows behind the shared prompt have the attention of long ones, however short they are.
    """

    pairs: list[measure.Pair]
    config: dict[str, Any] = field(default_factory=dict)
    num_threads: int = 1
    exchanged: dict[str, Any] = field(default_factory=dict)
    attends_as_long: bool = False


class Watch:
    """A byheart reporter that notes when what happened.

    Attributes:
        begun: when the watch was made, right before the call.
        phases: begin and end of each phase, by name.
        cpu_seconds: of this process from the call to the last epoch's end, its looks among them.
        events: byheart's own of each epoch.
        told_memory: how much memory learning would take, as byheart said before the first step.
    """

    def __init__(self) -> None:
        self.begun, self.begun_cpu = time.perf_counter(), time.process_time()
        self.phases: dict[str, list[float]] = {}
        self.events: list[Any] = []
        self.told_memory: str | None = None

    def say(self, sentence: str) -> None:
        """Notes how much memory was told."""
        if told := re.match("about (.+) of memory", sentence):
            self.told_memory = told[1]

    @contextmanager
    def phase(self, name: str, total: int) -> Iterator[Callable[[int], None]]:
        """Notes how long a phase took."""
        begun = time.perf_counter()
        yield lambda count: None
        self.phases[name] = [begun, time.perf_counter()]

    def epoch(self, event: Any) -> None:
        """Notes an epoch's end."""
        if not self.events:
            self.before_seconds = time.perf_counter() - self.begun - event.train_seconds
        self.events.append(event)
        self.cpu_seconds = time.process_time() - self.begun_cpu

    @property
    def seconds(self) -> float:
        """From the call to the last epoch's end, without evaluation."""
        return self.before_seconds + self.events[-1].train_seconds

    @property
    def seconds_an_epoch(self) -> float:
        """Mean of an epoch that visits every record; one that visits half of them counts as half of one."""
        num_passes = sum(event.num_visited_records / event.num_records for event in self.events)
        return self.events[-1].train_seconds / num_passes


def learnt(job: Job) -> dict[str, Any]:
    """What a run of ``job`` shows, in a process of its own."""
    return measure.in_own_process("learning_run", asdict(job), job.num_threads)


def main(asked: Path, outcome: Path) -> None:
    """Learns in this process."""
    import torch
    import transformers

    import byheart
    from byheart.config import RunConfig
    from byheart.model.shared_prompt import as_if_long

    job = Job(**json.loads(asked.read_text(encoding="utf-8")))
    torch.set_num_threads(job.num_threads)
    transformers.utils.logging.set_verbosity_error()
    memory = byheart.Memory.from_pairs([(prompt, answer) for prompt, answer in job.pairs])
    base = byheart.load_base(RunConfig.build(job.config).model)
    marked_bytes = measure.resident_bytes_marked()
    attention = as_if_long() if job.attends_as_long else nullcontext()
    exchanging = _exchanging(job.exchanged) if job.exchanged else nullcontext()
    with exchanging, attention, tempfile.TemporaryDirectory() as directory:  # with checkpoints, as users learn
        watch = Watch()
        bundle = byheart.learn(memory, base, config=job.config, reporter=watch, out=Path(directory) / "bundle")
    result = {
        "seconds": watch.seconds,
        "cpu_seconds": watch.cpu_seconds,
        "reading_seconds": watch.before_seconds,
        "seconds_an_epoch": watch.seconds_an_epoch,
        "num_visits": sum(event.num_visited_records for event in watch.events),
        "peak_bytes": measure.peak_bytes(),
        "peak_above_model_bytes": measure.peak_above(marked_bytes),
        "told_memory": watch.told_memory,
        "stop_reason": bundle.manifest.stop_reason,
        "bits": bundle.manifest.bits,
        **bundle.summary(),
        "dtype": bundle.manifest.base["dtype"],
        "config": job.config,
        "versions": {name: version(name) for name in ("torch", "transformers")},
    }
    measure.write(outcome, result)


@contextmanager
def _exchanging(values: dict[str, Any]) -> Iterator[None]:
    """`byheart.learn` with some fields of its cut model exchanged, for the length of a block."""
    from byheart.model.split import split

    def exchanged(model: Any, cut: int) -> Any:
        parts = split(model, cut)
        if idle := [name for name, value in values.items() if getattr(parts, name) == value]:
            raise SystemExit(f"nothing to compare: this model has {', '.join(idle)} = {values} anyway")
        return replace(parts, **values)

    with mock.patch("byheart.job.split", exchanged):
        yield


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
