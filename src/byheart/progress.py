"""What a run tells a person while it works; the engine calls it, the command line draws it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from byheart.learning.events import EpochEvent


class Reporter(Protocol):
    """Listens to a run; see `Silent` for one that does nothing."""

    def say(self, sentence: str) -> None:
        """Something happened, or something long begins."""
        ...

    def phase(self, name: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
        """A countable piece of work; the function it yields is told how much more of ``total`` is done."""
        ...

    def epoch(self, event: EpochEvent) -> None:
        """An epoch ended."""
        ...


class Silent:
    """Tells nobody."""

    def say(self, sentence: str) -> None:
        """Drops the sentence."""

    @contextmanager
    def phase(self, name: str, total: int) -> Iterator[Callable[[int], None]]:
        """Counts nothing."""
        yield lambda count: None

    def epoch(self, event: EpochEvent) -> None:
        """Drops the event."""
