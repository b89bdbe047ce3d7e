"""Where cells run: what a sweep asks of an engine, and what goes to and fro.

An engine takes jobs while it has room and gives outcomes back as they come, in any order. It knows nothing of grids,
folders or retries. Jobs and outcomes are plain values: no file is shared between who sends and who works.
"""

from __future__ import annotations

import traceback
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Protocol, Self, get_args

from byheart.errors import ByheartError, SettingsError, unknown
from byheart.sweep.grid import Resources

EngineName = Literal["local", "ray"]


@dataclass(frozen=True, slots=True)
class Job:
    """A cell to be run.

    Attributes:
        name: the cell's.
        run: all settings of the run, plain.
        records: as `Memory.from_pairs` takes them, plain.
        unseen: likewise, those that are not learnt and asked for all the same.
    """

    name: str
    run: dict[str, Any]
    records: list[dict[str, Any]] = field(repr=False)
    unseen: list[dict[str, Any]] = field(default_factory=list, repr=False)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a job.

    Attributes:
        name: the cell's.
        numbers: a `byheart.sweep.cell.Measured`, plain; None where it failed.
        tokens: the tokens' file; empty where it failed.
        error: why it failed; None where it did not.
        traceback: where, if that was no mistake in the settings.
        is_lost: the one who worked on it has gone, and the cell may not be to blame.
    """

    name: str
    numbers: dict[str, Any] | None = None
    tokens: bytes = field(default=b"", repr=False)
    error: str | None = None
    traceback: str | None = None
    is_lost: bool = False

    @classmethod
    def of_error(cls, name: str, error: Exception) -> Self:
        """What came of a job that ended with an exception: where it was raised is kept unless it is one of ours."""
        told = None if isinstance(error, ByheartError) else "".join(traceback.format_exception(error))
        return cls(name, error=f"{type(error).__name__}: {error}", traceback=told)


class Engine(Protocol):
    """Runs jobs; entered before the first, left after the last or in the middle of them.

    Attributes:
        max_attempts: how often a job is begun at most, should those who work on it be lost.
    """

    max_attempts: int

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Ends whoever still works; their jobs have no outcome."""
        ...

    def num_slots(self) -> int:
        """How many jobs it has room for at a time, now; at least one."""
        ...

    def submit(self, job: Job) -> None:
        """Has a job begun; only where there is room."""
        ...

    def next(self, timeout_seconds: float) -> Outcome | None:
        """The next outcome; None where there was none within that time."""
        ...


def build(name: str, resources: Resources, num_workers: int | None = None, address: str | None = None) -> Engine:
    """An engine by its name; nothing is started yet.

    Args:
        name: local or ray.
        resources: what a cell takes.
        num_workers: cells at a time; None: the engine's own choice.
        address: of a Ray cluster; None: one on this machine, for this sweep alone.

    Raises:
        SettingsError: unknown, not installed, or asked for what it does not have.
    """
    if name not in get_args(EngineName):
        raise SettingsError(f"--engine: {unknown('engine', name, get_args(EngineName))}")
    if num_workers is not None and num_workers < 1:
        raise SettingsError(f"--workers {num_workers}: give a positive number")
    if name == "ray":
        from byheart.sweep.ray import RayEngine

        return RayEngine(resources, num_workers, address)
    if address is not None:
        raise SettingsError(f"--address {address}: the local engine has none; add --engine ray")
    from byheart.sweep.local import LocalEngine

    return LocalEngine(num_workers)
