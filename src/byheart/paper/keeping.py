"""An engine for cells whose bundle is kept: what a sweep measures of a cell, and beside it every epoch and, where the
task has records of its kind that are not learnt, what comes of those.

Cells run in this process, one at a time; one that was stopped goes on from its checkpoint. Their results are of the
same cells that a sweep's workers would have run, and lie where those lie.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from byheart.config import RunConfig
from byheart.errors import InterruptedRunError
from byheart.export.bundle import Bundle
from byheart.export.epochs import read_epochs
from byheart.export.manifest import MANIFEST_FILE
from byheart.memory.records import Memory
from byheart.paper.findings import BUNDLES, SWEEP, UNSEEN
from byheart.pipeline import learn
from byheart.sweep.cell import Cell
from byheart.sweep.engines import Job, Outcome
from byheart.sweep.measure import Costs, begin_peak, measured, peak_memory
from byheart.sweep.results import CELLS, RESULT_FILE
from byheart.sweep.run import loaded
from byheart.tasks.registry import build_unseen, unseen_flaw


class KeepingEngine:
    """Runs cells here, one at a time, and keeps what they leave.

    Args:
        directory: OUT of the reproduction.
        cells: those that jobs are of.
        interrupted: asked after every step; True stops the cell at a checkpoint.
    """

    max_attempts = 1

    def __init__(self, directory: Path, cells: Iterable[Cell], interrupted: Callable[[], bool]) -> None:
        self._directory, self._interrupted = directory, interrupted
        self._cells = {cell.name: cell for cell in cells}
        self._job: Job | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        loaded.cache_clear()

    def num_slots(self) -> int:
        """One: the process has all the machine's cores, or its first card."""
        return 1

    def submit(self, job: Job) -> None:
        """Takes a job, which `next` does."""
        self._job = job

    def next(self, timeout_seconds: float) -> Outcome | None:
        """Does the job that was taken, however long that is.

        Raises:
            InterruptedRunError: a stop was asked for; the cell's checkpoint is written.
        """
        job, self._job = self._job, None
        if job is None:
            return None
        try:
            return self._done(job)
        except InterruptedRunError:
            raise
        except Exception as error:  # one cell's trouble, whatever it is, is not the others'
            return Outcome.of_error(job.name, error)

    def _done(self, job: Job) -> Outcome:
        config = RunConfig.parse(job.run, job.name)
        base = loaded(config.model.model_dump_json())
        place = self._directory / BUNDLES / job.name
        begin_peak(base.device)
        bundle = learn(Memory.from_pairs(job.records), base, out=place, config=job.run, interrupted=self._interrupted)
        self._ask_unseen(self._cells[job.name], bundle)
        costs = Costs(bundle.manifest.summary.total_seconds, peak_memory(base.device))
        numbers, tokens = measured(bundle, read_epochs(place), costs)
        return Outcome(job.name, numbers=numbers.model_dump(mode="json"), tokens=tokens)

    def _ask_unseen(self, cell: Cell, bundle: Bundle) -> None:
        if unseen_flaw(cell.task.name) is None:
            unseen = build_unseen(cell.task, bundle.base.tokenizer)
            bundle.certify(unseen).save(_unseen_file(self._directory, cell.name))


def forget_unkept(directory: Path, cells: Iterable[Cell]) -> list[str]:
    """Removes the results of cells whose keepsakes are missing, so that they are run again.

    Returns:
        Their names.
    """
    forgotten: list[str] = []
    for cell in cells:
        is_kept = (directory / BUNDLES / cell.name / MANIFEST_FILE).is_file()
        if unseen_flaw(cell.task.name) is None:
            is_kept = is_kept and _unseen_file(directory, cell.name).is_file()
        result = directory / SWEEP / CELLS / cell.name / RESULT_FILE
        if not is_kept and result.is_file():
            result.unlink()
            forgotten.append(cell.name)
    return forgotten


def _unseen_file(directory: Path, name: str) -> Path:
    return directory / UNSEEN / f"{name}.json"
