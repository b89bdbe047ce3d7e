"""The local engine: worker processes on this machine, each with a base model that it keeps.

The machine's cores are divided among the workers, as threads: several processes of torch that all take every core are
many times slower than one. Cards are taken in turn. A worker that dies loses its job, and another takes its place.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from types import TracebackType
from typing import IO, Self

from byheart.model.cores import num_cores
from byheart.sweep.engines import Job, Outcome
from byheart.sweep.worker import job_line, read_outcome

_TOLD_CHARACTERS = 2000
"""Of what a worker said last, in the error of the job that it died of."""
_PATIENCE_SECONDS = 10
"""Given to a worker to leave by itself before it is killed."""


class LocalEngine:
    """Runs jobs in processes on this machine.

    Args:
        num_workers: processes; None: one a card, or one that has all cores. A model of some hundred million parameters
            is swept faster by a worker a core.
    """

    max_attempts = 2

    def __init__(self, num_workers: int | None = None) -> None:
        self._asked, self._num_workers = num_workers, num_workers or 1
        self._cards: list[str] = []
        self._workers: list[_Worker] = []
        self._outcomes: queue.SimpleQueue[Outcome] = queue.SimpleQueue()

    def __enter__(self) -> Self:
        self._cards = _cards()
        self._num_workers = self._asked or max(len(self._cards), 1)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for worker in self._workers:
            worker.dismiss()
        for worker in self._workers:
            worker.end()
        self._workers.clear()

    @property
    def num_threads(self) -> int:
        """Of each worker."""
        return max(num_cores() // self._num_workers, 1)

    def num_slots(self) -> int:
        """As many as there are workers."""
        return self._num_workers

    def submit(self, job: Job) -> None:
        """Hands a job to an idle worker, or to a new one."""
        for worker in [worker for worker in self._workers if worker.has_died]:
            self._workers.remove(worker)
            worker.dismiss()
            worker.end()
        worker = next((worker for worker in self._workers if worker.job is None), None)
        if worker is None:
            worker = self._hired()
        worker.begin(job)

    def next(self, timeout_seconds: float) -> Outcome | None:
        """The next outcome of any worker."""
        with contextlib.suppress(queue.Empty):
            return self._outcomes.get(timeout=timeout_seconds)
        return None

    def _hired(self) -> _Worker:
        taken = {worker.place for worker in self._workers}
        place = next(place for place in range(self._num_workers) if place not in taken)
        card = self._cards[place % len(self._cards)] if self._cards else None
        worker = _Worker(place, self.num_threads, card, self._outcomes)
        self._workers.append(worker)
        return worker


class _Worker:
    """One process, and the thread that reads what it says.

    Args:
        place: from 0, its own among those that live.
        num_threads: it may compute with.
        card: the one card that it sees; None: whatever there is.
        outcomes: where its outcomes go, and what becomes of a job that it dies of.
    """

    def __init__(self, place: int, num_threads: int, card: str | None, outcomes: queue.SimpleQueue[Outcome]) -> None:
        self.place, self.has_died = place, False
        self.job: Job | None = None
        self._is_dismissed = False
        self._lock = threading.Lock()  # between a job that begins and a process that ends
        self._outcomes = outcomes
        self._said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the process
        threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(num_threads))
        cards = {} if card is None else {"CUDA_VISIBLE_DEVICES": card}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "byheart.sweep.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            env={**os.environ, **threads, **cards},
            text=True,
            encoding="utf-8",
            start_new_session=True,  # Ctrl-C is the driver's to hear
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def begin(self, job: Job) -> None:
        """Has a job done, whose outcome comes to the queue."""
        with self._lock:
            self.job = job
            if self.has_died:
                self._lose_job()
                return
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # it is dying, which the reader finds too
            self._process.stdin.write(job_line(job))
            self._process.stdin.flush()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if not line.endswith("\n"):
                break  # it was killed while it wrote
            self.job = None
            self._outcomes.put(read_outcome(line))
        self._process.wait()
        with self._lock:
            self.has_died = True
            if self.job is not None and not self._is_dismissed:
                self._lose_job()

    def _lose_job(self) -> None:
        assert self.job is not None
        self._outcomes.put(Outcome(self.job.name, error=self._obituary(self._process.wait()), is_lost=True))

    def _obituary(self, code: int) -> str:
        how = f"was killed ({signal.Signals(-code).name})" if code < 0 else f"ended with exit code {code}"
        hint = "; out of memory, perhaps" if code == -signal.SIGKILL else ""
        self._said.seek(0)
        said = self._said.read().decode("utf-8", "replace").strip()[-_TOLD_CHARACTERS:]
        return f"the worker process {how}{hint}" + (f"; it said: {said}" if said else "")

    def dismiss(self) -> None:
        """Tells the process to leave, with its job undone."""
        self._is_dismissed = True
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()

    def end(self) -> None:
        """Waits until it has left."""
        try:
            self._process.wait(_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._said.close()


def _cards() -> list[str]:
    """The cards that this process may use, as CUDA names them to its children."""
    import torch

    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = given.split(",") if given else [str(index) for index in range(torch.cuda.device_count())]
    return names[: torch.cuda.device_count()]
