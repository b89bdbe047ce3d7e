"""A sweep: the cells that have no result yet are run by an engine, and each result is written as it comes.

At any moment it can be stopped, politely or not; the same call goes on with the cells that are left. A cell counts
once: its first outcome is its result, and only one whose worker was lost is begun again.
"""

from __future__ import annotations

import importlib.metadata
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from byheart.artifacts import locked
from byheart.errors import InterruptedRunError
from byheart.sweep.cell import Cell, CellResult, Measured
from byheart.sweep.engines import Engine, Job, Outcome, build
from byheart.sweep.grid import as_text, expand, read_grid
from byheart.sweep.prepare import prepare
from byheart.sweep.progress import Pace, Silent, Standing, SweepReporter
from byheart.sweep.results import find_result, need_pyarrow, write_grid, write_result, write_table

_TICK_SECONDS = 0.25
_SECONDS_BETWEEN_TABLES = 30.0


def sweep(
    grid: str | Path | Mapping[str, Any],
    out: str | Path,
    *,
    engine: str | Engine = "local",
    num_workers: int | None = None,
    address: str | None = None,
    retry_failed: bool = False,
    reporter: SweepReporter | None = None,
    interrupted: Callable[[], bool] = lambda: False,
) -> list[CellResult]:
    """Runs every cell of a grid that has no result in ``out`` yet, and keeps the grid there.

    Args:
        grid: a YAML file, or the same as plain values; see `byheart.sweep.grid.Grid`.
        out: the directory of results.
        engine: local, ray, or one of your own.
        num_workers: cells at a time; None: the engine's choice.
        address: of a Ray cluster.
        retry_failed: whether cells that failed before are run again.
        reporter: told how far it is.
        interrupted: asked a few times a second; True begins no further cell and ends when those that run have.

    Returns:
        The result of every cell, in the grid's order.

    Raises:
        SettingsError, RecordsError, ModelError: before any cell runs; all that is wrong with any of them.
        ArtifactError: ``out`` is in use, cannot be written, or holds what is damaged.
        InterruptedRunError: ``interrupted`` said so, and cells are left.

    Example:
        >>> grid = {"task": {"name": "phonebook", "num_pairs": 20}, "axes": {"lora_rank": [1, 2, 4, 8]}}
        >>> [result.measured.exact_match for result in sweep(grid, "sweeps/ranks")]               # doctest: +SKIP
    """
    reporter = reporter or Silent()
    parsed, text = read_grid(grid), as_text(grid)
    need_pyarrow()
    chosen = build(engine, parsed.resources, num_workers, address) if isinstance(engine, str) else engine
    drafts = expand(parsed, "grid" if isinstance(grid, Mapping) else str(grid))
    directory = Path(out)
    with locked(directory):
        cells = prepare(drafts, reporter.say)
        return Sweep(cells, directory, reporter, interrupted, grid=text).run(chosen, retry_failed=retry_failed)


class Sweep:
    """The cells of a grid and what is known of them.

    Args:
        cells: in order.
        directory: of the results, locked.
        reporter: told how far it is.
        interrupted: as `sweep` takes it.
        on_result: told of each result, those that earlier starts left among them.
        grid: the text of theirs, kept beside the table; None: they are of none.
    """

    def __init__(
        self,
        cells: Sequence[Cell],
        directory: Path,
        reporter: SweepReporter,
        interrupted: Callable[[], bool],
        on_result: Callable[[CellResult], None] = lambda _: None,
        *,
        grid: str | None = None,
    ) -> None:
        self.cells = {cell.name: cell for cell in cells}
        self.directory, self.reporter, self.interrupted = directory, reporter, interrupted
        self.on_result, self.grid = on_result, grid
        self.results: dict[str, CellResult] = {}
        self.attempts: dict[str, int] = {}
        self._table_written_at = time.monotonic()

    def run(self, engine: Engine, *, retry_failed: bool) -> list[CellResult]:
        """Runs what is left; the results in the cells' order."""
        self._find(retry_failed=retry_failed)
        if self.grid is not None:
            write_grid(self.directory, self.grid)
        self._write_table()  # from here on it is of these cells, however this ends
        left = [name for name in self.cells if name not in self.results]
        if found := len(self.cells) - len(left):
            self.reporter.say(f"{found} of {len(self.cells)} cells have a result already")
        try:
            if left:
                with engine:
                    self._run(engine, left)
        finally:
            self._write_table()
        return [self.results[name] for name in self.cells]

    def _find(self, *, retry_failed: bool) -> None:
        """Takes in the results that earlier starts left."""
        for name, cell in self.cells.items():
            result = find_result(self.directory, name, self.reporter.say)
            if result is None or result.fingerprint != cell.fingerprint:
                continue
            if result.status == "done" or not retry_failed:
                self.results[name] = result
                self.on_result(result)

    def _run(self, engine: Engine, left: Sequence[str]) -> None:
        waiting, running = deque(left), set[str]()
        pace = Pace({name: self.cells[name].work for name in left})
        is_stopping = False
        while running or (waiting and not is_stopping):
            is_stopping = is_stopping or self.interrupted()
            while waiting and not is_stopping and len(running) < engine.num_slots():
                name = waiting.popleft()
                self.attempts[name] = self.attempts.get(name, 0) + 1
                engine.submit(self._job(name))
                running.add(name)
                pace.begin(name)
            if not running:
                break
            self._tell(running, pace, engine)
            outcome = engine.next(_TICK_SECONDS)
            if outcome is None or outcome.name not in running:
                continue
            running.remove(outcome.name)
            if outcome.is_lost and self.attempts[outcome.name] < engine.max_attempts:
                self.reporter.say(f"cell {outcome.name} is begun again: {outcome.error}")
                pace.lose(outcome.name)
                waiting.appendleft(outcome.name)
                continue
            pace.end(outcome.name, is_measure=outcome.error is None)
            self._take_in(outcome)
            self._tell(running, pace, engine)
        if waiting:
            raise InterruptedRunError(f"{len(self.results)} of {len(self.cells)} cells have a result")

    def _job(self, name: str) -> Job:
        cell = self.cells[name]
        return Job(name, cell.run.model_dump(mode="json"), cell.plain_records(), cell.plain_unseen())

    def _take_in(self, outcome: Outcome) -> None:
        cell = self.cells[outcome.name]
        result = CellResult(
            fingerprint=cell.fingerprint,
            status="done" if outcome.error is None else "failed",
            error=outcome.error,
            traceback=outcome.traceback,
            attempts=self.attempts[outcome.name],
            run=cell.run.model_dump(mode="json"),
            task=cell.task.model_dump(mode="json"),
            axes=dict(cell.axes),
            num_records=len(cell.memory),
            num_answer_tokens=cell.num_answer_tokens,
            byheart_version=importlib.metadata.version("byheart"),
            measured=None if outcome.numbers is None else Measured.model_validate(outcome.numbers),
        )
        write_result(self.directory, result, outcome.tokens)
        self.results[cell.name] = result
        self.on_result(result)
        if result.error is not None:
            self.reporter.say(f"cell {cell.name} ({_told(cell.axes)}) failed: {result.error}")
        if time.monotonic() - self._table_written_at >= _SECONDS_BETWEEN_TABLES:
            self._write_table()

    def _write_table(self) -> None:
        self._table_written_at = time.monotonic()
        write_table(self.directory, [self.results[name] for name in self.cells if name in self.results])

    def _tell(self, running: set[str], pace: Pace, engine: Engine) -> None:
        num_failed = sum(result.status == "failed" for result in self.results.values())
        self.reporter.standing(
            Standing(
                num_cells=len(self.cells),
                num_done=len(self.results) - num_failed,
                num_failed=num_failed,
                num_running=len(running),
                seconds_left=pace.seconds_left(engine.num_slots()),
            )
        )


def _told(axes: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in axes.items())
