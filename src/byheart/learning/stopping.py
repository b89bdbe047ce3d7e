"""When to stop: everything certified by a full pass, the budget spent, or no way forward."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

StopReason = Literal["certified", "budget", "plateau"]

LONGEST_WAIT = 8
"""Epochs between two full passes at the most."""


@dataclass(slots=True)
class Plateau:
    """Tells when the number of stubborn tokens has not fallen for long.

    Only counts over all records may be fed: one over some of them says nothing of the rest. An epoch with none is never
    stale: what is left to do there shows in no count.

    Attributes:
        best: fewest stubborn tokens of an epoch so far.
        num_stale: visits of records since then.
    """

    best: int | None = None
    num_stale: int = 0

    def reached(self, num_stubborn_tokens: int, num_visits: int, patience_visits: int) -> bool:
        """Takes an epoch's count and its visits in; True where so many without a new minimum are no way forward."""
        if self.best is None or num_stubborn_tokens < self.best or num_stubborn_tokens == 0:
            self.best, self.num_stale = num_stubborn_tokens, 0
        else:
            self.num_stale += num_visits
        return self.num_stale >= patience_visits


@dataclass(slots=True)
class Verification:
    """Spaces full passes out: each that finds something uncertified doubles the epochs until the next, up to
    `LONGEST_WAIT`.

    Counted in epochs, not seconds, so that the same seed takes the same way on a slow day.

    Attributes:
        wait: epochs from the next pass that fails to the one after.
        not_before: the epoch after which a pass may be made again.
    """

    wait: int = 1
    not_before: int = 0

    def due(self, epoch: int) -> bool:
        """Whether a full pass may be made after ``epoch``."""
        return epoch >= self.not_before

    def failed(self, epoch: int) -> None:
        """Takes in that the pass after ``epoch`` found something uncertified."""
        self.not_before = epoch + self.wait
        self.wait = min(self.wait * 2, LONGEST_WAIT)
