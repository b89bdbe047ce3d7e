"""What a sweep tells a person: how many cells are behind it, and how long the rest may take.

    seconds left = (seconds a unit of work · work of the cells not done − seconds spent on those that run) / slots

A unit of work is an answer token in a step (`byheart.sweep.cell.Cell.work`), counted as if no run ended early, so that
runs of different lengths are weighed against each other; what a unit takes is measured on the cells of this start that
are done. Before the first there is no estimate.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a sweep is.

    Attributes:
        num_cells: of the grid.
        num_done: with a result, earlier starts included.
        num_failed: with an error, earlier starts included.
        num_running: begun and not ended.
        seconds_left: about; None where nothing is known of it yet.
    """

    num_cells: int
    num_done: int
    num_failed: int
    num_running: int
    seconds_left: float | None


class SweepReporter(Protocol):
    """Listens to a sweep."""

    def say(self, sentence: str) -> None:
        """Something happened, or something long begins."""
        ...

    def standing(self, standing: Standing) -> None:
        """Told now and then, and after each cell."""
        ...


class Silent:
    """Tells nobody."""

    def say(self, sentence: str) -> None:
        """Drops the sentence."""

    def standing(self, standing: Standing) -> None:
        """Drops the standing."""


class Pace:
    """How long the cells that are not done will take, by those that are.

    Args:
        work: of each cell that is to be run, by name.
        now: the clock.
    """

    def __init__(self, work: Mapping[str, int], now: Callable[[], float] = time.monotonic) -> None:
        self._left, self._now = dict(work), now
        self._begun: dict[str, float] = {}
        self._work_done, self._seconds_done = 0, 0.0

    def begin(self, name: str) -> None:
        """A cell is begun."""
        self._begun[name] = self._now()

    def lose(self, name: str) -> None:
        """A cell is to be begun again."""
        self._begun.pop(name)

    def end(self, name: str, *, is_measure: bool) -> None:
        """A cell is done with; ``is_measure``: what it took tells something of the others."""
        seconds, work = self._now() - self._begun.pop(name), self._left.pop(name)
        if is_measure:
            self._seconds_done, self._work_done = self._seconds_done + seconds, self._work_done + work

    def seconds_left(self, num_slots: int) -> float | None:
        """For all cells not done; None before the first is."""
        if not self._work_done:
            return None
        a_unit = self._seconds_done / self._work_done
        spent = sum(min(self._now() - begun, a_unit * self._left[name]) for name, begun in self._begun.items())
        return (a_unit * sum(self._left.values()) - spent) / max(min(num_slots, len(self._left)), 1)
