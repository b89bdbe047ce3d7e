"""What the sides share: the job, the stopwatch, the check, the outcome.

The stopwatch runs from a side's `Race.begin` and stands still while records are checked. A side tells of every epoch's
end; the first at which all records come back in the free run ends the race. The outcome's file is written anew after
each epoch, so that a run that is killed has said how far it came.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import measure
from bars import OURS

from peers import card
from peers.shapes import SHAPES, random_base

ONEDNN_DEFAULT = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "1024")
"""What a peer's process has without byheart, whose `load` keeps fewer kernels to save memory."""


@dataclass(frozen=True)
class Job:
    """One run of one side.

    Attributes:
        side: its name.
        records: the file.
        num_records: how many of the file's records, from the first on.
        num_threads: of torch.
        seed: of first weights and order.
        settings: the side's.
        max_epochs: where to stop a run that is not exact by then; None: at the end of its own budget.
        max_seconds: of training, at which the epoch under way is the last; None: no bound.
        shape: of a randomly initialised model, a name of `peers.shapes.SHAPES`; None: the embedded model.
        device: where such a model computes; the embedded one chooses by itself.
    """

    side: str
    records: str
    num_records: int
    num_threads: int
    seed: int
    settings: dict[str, Any]
    max_epochs: int | None = None
    max_seconds: float | None = None
    shape: str | None = None
    device: str = "cpu"


@dataclass
class Outcome:
    """How a run went.

    Attributes:
        job: what was asked for.
        is_exact: whether every record came back to the letter in the free run.
        epochs: run so far.
        seconds: of training, checks not counted.
        cpu_seconds: of that, what the processor worked, over all threads: on one thread the same as ``seconds``, unless
            something else was running.
        evaluation_seconds: of checks.
        best_num_exact: most records right after an epoch, by teacher-forced argmax.
        best_epoch: the first with that many.
        num_tokens: of all records, prompts and answers.
        num_answer_tokens: of all records.
        num_parameters: that were trained.
        lora_rank: of the adapter.
        peak_bytes: high-water mark of the process's resident memory, checks included: on Linux from when the model was
            loaded on, elsewhere from the process' start.
        peak_above_model_bytes: that of training and checks alone, above what was resident once the libraries and the
            model had been loaded; None where the system does not tell (all but Linux).
        peak_device_bytes: most that tensors took on the card while learning, the model included; None on a CPU.
        model_device_bytes: what they took once the model had been loaded; None on a CPU.
        history: epoch, seconds, the share of the records that it visited, records right (None where not checked), and
            the epoch's mean training loss.
        notes: what only this side has.
        engine: what byheart's steps are made of, for which no setting asks.
        versions: of the libraries.
    """

    job: dict[str, Any]
    is_exact: bool = False
    epochs: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    evaluation_seconds: float = 0.0
    best_num_exact: int = 0
    best_epoch: int = 0
    num_tokens: int = 0
    num_answer_tokens: int = 0
    num_parameters: int = 0
    lora_rank: int = 0
    peak_bytes: int = 0
    peak_above_model_bytes: int | None = None
    peak_device_bytes: int | None = None
    model_device_bytes: int | None = None
    history: list[dict[str, float | None]] = field(default_factory=list)
    notes: dict[str, float] = field(default_factory=dict)
    engine: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)


class Race:
    """One run under way, as its side sees it.

    Attributes:
        job: what is to be done.
        outcome: what is known so far.
    """

    def __init__(self, job: Job, path: Path) -> None:
        self.job, self.path = job, path
        names = ("torch", "transformers", "peft", "trl") if job.side == "trl" else ("torch", "transformers", "peft")
        self.outcome = Outcome(asdict(job), versions={name: version(name) for name in names})

    def load(self) -> tuple[Any, Any, Any]:
        """The records as a byheart memory, the base model in bf16, and the memory in its ids.

        Called after a side's own imports: what memory the process has by then is not counted as the training's.
        """
        import torch
        import transformers

        import byheart
        from byheart.memory.encode import encode

        if self.job.side != OURS:
            os.environ.setdefault(*ONEDNN_DEFAULT)
        torch.set_num_threads(self.job.num_threads)
        transformers.set_seed(self.job.seed)
        transformers.utils.logging.set_verbosity_error()
        records = byheart.Memory.from_file(self.job.records).records[: self.job.num_records]
        memory = byheart.Memory.from_pairs([(record.prompt, record.answer) for record in records])
        base = self._base()
        self.device = str(base.device)
        self.encoded = encode(memory, base.tokenizer)
        self.outcome.num_tokens = sum(record.num_tokens for record in self.encoded.records)
        self.outcome.num_answer_tokens = sum(len(record.answer_ids) for record in self.encoded.records)
        self.loaded_bytes = measure.resident_bytes_marked()
        self.outcome.model_device_bytes = card.mark_memory(self.device)
        return memory, base, self.encoded

    def _base(self) -> Any:
        """The embedded model, or a random one of the job's shape."""
        import byheart
        from byheart.model.catalog import load_tokenizer
        from byheart.model.config import ModelConfig

        if self.job.shape is None:
            return byheart.load_base(ModelConfig(dtype="bfloat16"))
        return random_base(self.job.shape, SHAPES[self.job.shape], load_tokenizer(ModelConfig()), self.job.device)

    def begin(self, *, num_parameters: int, lora_rank: int) -> None:
        """Starts the stopwatch."""
        self.outcome.num_parameters, self.outcome.lora_rank = num_parameters, lora_rank
        card.finish(self.device)
        self.since, self.since_cpu = time.perf_counter(), time.process_time()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stops the stopwatch for a block, which counts as evaluation; on a card not towards peak memory."""
        card.finish(self.device)
        self.note_peak()
        before = time.perf_counter()
        self.outcome.seconds += before - self.since
        self.outcome.cpu_seconds += time.process_time() - self.since_cpu
        try:
            yield
        finally:
            card.finish(self.device)
            card.mark_memory(self.device)
            self.since, self.since_cpu = time.perf_counter(), time.process_time()
            self.outcome.evaluation_seconds += self.since - before

    def epoch_ended(self, model: Any, loss: float) -> bool:
        """Checks the records; True where the side is to stop: all are exact, or the bound of epochs is reached.

        While the epoch's mean loss is above ln 2, the mean token being less likely than not, there is no check but at
        the last epoch. A check costs time that no side is charged with; in the races kept, fewer than two thirds of the
        records were right at a side's first one.

        Args:
            model: with its adapter at work; in training mode, to which it is returned.
            loss: the epoch's mean over training steps, nats.
        """
        from peers.exact import exact_in_free_run, right_by_argmax

        outcome, num_right = self.outcome, None
        outcome.epochs += 1
        is_last = outcome.epochs in (self.job.max_epochs, self.job.settings["epochs"])
        with self.paused():
            is_last |= self.job.max_seconds is not None and outcome.seconds > self.job.max_seconds
            if loss < math.log(2) or is_last:
                model.eval()
                right = right_by_argmax(model, self.encoded)
                outcome.is_exact = all(right) and exact_in_free_run(model, self.encoded)
                model.train()
                num_right = sum(right)
                if num_right > outcome.best_num_exact or not outcome.best_epoch:
                    outcome.best_num_exact, outcome.best_epoch = num_right, outcome.epochs
        with self.paused():
            self.tell(num_right, loss)
        return outcome.is_exact or is_last

    def note_peak(self) -> None:
        """Notes how much of the card's memory has been taken so far."""
        if (peak := card.peak_memory(self.device)) is not None:
            self.outcome.peak_device_bytes = max(peak, self.outcome.peak_device_bytes or 0)

    def tell(self, num_right: int | None, loss: float, share: float = 1.0) -> None:
        """Notes the epoch that has just ended, on stderr and in the outcome's file.

        Args:
            num_right: records that come back; None where that was not checked.
            loss: the epoch's mean over training steps, nats.
            share: of the records, that it visited.
        """
        outcome, seconds = self.outcome, round(self.outcome.seconds, 3)
        outcome.history.append(
            {"epoch": outcome.epochs, "seconds": seconds, "share": share, "num_right": num_right, "loss": loss}
        )
        right = "" if num_right is None else f", {num_right} of {self.job.num_records} right"
        line = f"{self.job.side}: epoch {outcome.epochs}, {seconds:.1f} s, loss {loss:.3f}{right}"
        print(line, file=sys.stderr, flush=True)
        self.write()

    def write(self) -> None:
        """The outcome as it stands, into its file."""
        self.outcome.peak_bytes = measure.peak_bytes()
        self.outcome.peak_above_model_bytes = measure.peak_above(self.loaded_bytes)
        measure.write(self.path, asdict(self.outcome))
