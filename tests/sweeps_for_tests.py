"""Sweeps without a model: what a cell may measure, and an engine that works in this process."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from byheart.config import RunConfig
from byheart.sweep.cell import CellResult, Measured
from byheart.sweep.engines import Job, Outcome
from byheart.sweep.progress import Standing
from byheart.sweep.results import read_results
from byheart.tasks.registry import parse

NUMBERS = Measured(
    lora_rank=4,
    num_parameters=1000,
    num_records=4,
    num_answer_tokens=50,
    nll_before_nats=6.0,
    nll_after_nats=1.5,
    token_accuracy=0.5,
    free_token_accuracy=0.25,
    exact_match=0.0,
    num_certified=0,
    num_recited=0,
    share_above_threshold=0.5,
    min_probability=0.01,
    earliest_stubborn_position=1,
    first_failure_position=None,
    epochs=3,
    weights_epoch=3,
    last_epoch_nll_nats=1.6,
    stop_reason="budget",
    has_converged=False,
    seconds=1.0,
    train_seconds=0.5,
    peak_memory_bytes=None,
    dtype="float32",
    device="cpu",
    num_threads=1,
    base_weights_sha256=None,
)


class Listener:
    """Keeps what a sweep tells."""

    def __init__(self) -> None:
        self.sentences: list[str] = []
        self.standings: list[Standing] = []

    def say(self, sentence: str) -> None:
        self.sentences.append(sentence)

    def standing(self, standing: Standing) -> None:
        self.standings.append(standing)


class InProcess:
    """An engine whose outcomes are told beforehand: by default every job is done at once.

    Attributes:
        begun: names of the jobs that were submitted, in order.
    """

    def __init__(
        self, answer: Callable[[Job], Outcome] | None = None, num_workers: int = 1, max_attempts: int = 2
    ) -> None:
        self._answer = answer or (lambda job: done(job.name))
        self._num_workers, self.max_attempts = num_workers, max_attempts
        self._waiting: deque[Job] = deque()
        self.begun: list[str] = []
        self.is_left = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.is_left = True

    def num_slots(self) -> int:
        return self._num_workers

    def submit(self, job: Job) -> None:
        assert len(self._waiting) < self._num_workers
        self.begun.append(job.name)
        self._waiting.append(job)

    def next(self, timeout_seconds: float) -> Outcome | None:
        return self._answer(self._waiting.popleft())


def done(name: str, **changed: Any) -> Outcome:
    """An outcome as a run would give it."""
    return Outcome(name, numbers=NUMBERS.model_copy(update=changed).model_dump(mode="json"), tokens=b"tokens")


def result(digit: str = "a", **changed: Any) -> CellResult:
    """A cell that is done, its fingerprint made of one digit."""
    whole = CellResult(
        fingerprint=digit * 64,
        status="done",
        error=None,
        traceback=None,
        attempts=1,
        run=RunConfig.parse({"placement": {"lora_rank": 4}}).model_dump(mode="json"),
        task=parse({"name": "phonebook", "num_pairs": 4}).model_dump(mode="json"),
        axes={"learn.epochs": 3},
        num_records=4,
        num_answer_tokens=50,
        byheart_version="0.1.0",
        measured=NUMBERS,
    )
    return whole.model_copy(update=changed)


def rows_of(directory: Path) -> list[dict[str, Any]]:
    """The rows of a sweep's table without what differs each time."""
    differs = {"seconds", "train_seconds", "peak_memory_bytes", "attempts"}
    rows = read_results(directory).to_pylist()
    return [{name: value for name, value in row.items() if name not in differs} for row in rows]
