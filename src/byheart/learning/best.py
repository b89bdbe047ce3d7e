"""The best weights of a run that is not certified at its end, by what was measured and not by what training saw.

Training measures a token before the steps that follow, so its numbers only hint at which weights deserve a look: of
every `WINDOW` full passes' worth of visits the epoch that seemed best is kept, and looked at on the cached activations.
A look is a forward pass over all records without gradients and takes a quarter to a half of an epoch that visits them
all. A run of 60 such epochs makes seven, the shortest two, which is below a tenth of its training; epochs in which most
records rest are so many more to a look. Counted in visits, not seconds: the same seed makes the same looks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import torch
from torch import Tensor

from byheart.learning.evaluate import RecordLosses
from byheart.learning.events import EpochEvent
from byheart.model.adapter import Adapter

WINDOW = 10
"""Full passes' worth of visits for which there is one look."""
SHORTEST = 5
"""Full passes' worth of visits before the last epoch; a run of fewer makes no looks and keeps its last weights."""


@dataclass(frozen=True, slots=True)
class Look:
    """How well all records are known.

    Attributes:
        num_certified_records: those whose every answer token is above p = 0.5.
        num_stubborn_tokens: answer tokens that are not.
    """

    num_certified_records: int
    num_stubborn_tokens: int

    @property
    def merit(self) -> tuple[int, int]:
        """The larger, the better: most records, then fewest stubborn tokens."""
        return self.num_certified_records, -self.num_stubborn_tokens

    @classmethod
    def of(cls, losses: RecordLosses) -> Self:
        """What the losses of all records come to."""
        return cls(int((losses.num_stubborn_N == 0).sum()), int(losses.num_stubborn_N.sum()))


Looking = Callable[[Adapter], RecordLosses]
"""Measures all records under an adapter, as it would be saved."""


@dataclass(frozen=True, slots=True)
class Kept:
    """The weights at the end of an epoch.

    Attributes:
        epoch: from 1.
        look: measured; of a candidate, what training saw.
        tensors: fp32, as `Adapter.tensors` gives them.
    """

    epoch: int
    look: Look
    tensors: dict[str, Tensor]


@dataclass(slots=True)
class Best:
    """The best weights so far; a part of the checkpoint. Of equals the later is kept: the rate was lower.

    Attributes:
        best: the best that was looked at.
        candidate: the one that seemed best since the last look.
        num_waiting: visits of records since the last look.
    """

    best: Kept | None = None
    candidate: Kept | None = None
    num_waiting: int = 0

    def take_in(self, event: EpochEvent, adapter: Adapter, looking: Looking) -> None:
        """Takes in an epoch that was not the last and by which every record had been seen; makes a look where one is
        due.
        """
        hint = Look(event.num_certified_records, event.num_stubborn_tokens)
        if self.candidate is None or hint.merit >= self.candidate.look.merit:
            self.candidate = Kept(event.epoch, hint, adapter.tensors(torch.float32))
        self.num_waiting += event.num_visited_records
        if self.num_waiting >= WINDOW * event.num_records:
            self._look(adapter, looking)

    def settle(self, event: EpochEvent, adapter: Adapter, looking: Looking) -> int:
        """Gives ``adapter``, which has the weights of the last epoch, the best ones where those are better.

        Returns:
            The epoch that its weights are of now.
        """
        if self.best is None and self.num_waiting < SHORTEST * event.num_records:
            return event.epoch
        self._look(adapter, looking)
        if self.best is None or Look.of(looking(adapter)).merit >= self.best.look.merit:
            return event.epoch
        adapter.load_tensors(self.best.tensors)
        return self.best.epoch

    def _look(self, adapter: Adapter, looking: Looking) -> None:
        """Looks at the candidate, if there is one."""
        if (candidate := self.candidate) is None:
            return
        copy = Adapter(adapter.placement, adapter.lora_A[0].device).eval()
        copy.load_tensors(candidate.tensors)
        measured = Kept(candidate.epoch, Look.of(looking(copy)), candidate.tensors)
        if self.best is None or measured.look.merit >= self.best.look.merit:
            self.best = measured
        self.candidate, self.num_waiting = None, 0

    @property
    def kept(self) -> dict[str, Kept]:
        """Both, if there are both, by their names."""
        return {role: each for role, each in (("best", self.best), ("candidate", self.candidate)) if each}

    def plain(self) -> dict[str, Any]:
        """All but the tensors, as JSON holds it."""
        described = {role: {"epoch": each.epoch, "look": asdict(each.look)} for role, each in self.kept.items()}
        return {"num_waiting": self.num_waiting, **described}

    def tensors(self) -> dict[str, Tensor]:
        """The tensors of both."""
        return {f"{role}.{name}": each.tensors[name] for role, each in self.kept.items() for name in each.tensors}

    @classmethod
    def restored(cls, plain: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Self:
        """From what `plain` and `tensors` gave, among other tensors."""

        def kept(role: str) -> Kept | None:
            if role not in plain:
                return None
            prefix = f"{role}."
            own = {name.removeprefix(prefix): tensors[name] for name in tensors if name.startswith(prefix)}
            return Kept(plain[role]["epoch"], Look(**plain[role]["look"]), own)

        return cls(kept("best"), kept("candidate"), plain["num_waiting"])
