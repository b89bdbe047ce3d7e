"""What a run tells while it goes: one record an epoch, to whoever listens.

``metrics.jsonl`` keeps all of them; a resumed run first drops the lines of epochs that it will run again.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from byheart.artifacts import write_bytes
from byheart.errors import ArtifactError


@dataclass(frozen=True, slots=True)
class EpochEvent:
    """How an epoch went, as training saw it: each token just before the step that learnt from it.

    Attributes:
        epoch: from 1.
        spent_visits: of the budget, since the start or the last growth; see `byheart.learning.run.Run`.
        budget_visits: with so many spent the run ends, or the adapter grows and has a budget anew.
        lora_rank: of the adapter in this epoch.
        learning_rate: at the epoch's end: of its last step, or where the rate follows what is left, of the next.
        objective: mean over steps, nats.
        nll_nats: mean loss of the visited answer tokens.
        num_visited_records: records that the schedule chose.
        num_stubborn_tokens: of all records shown so far, the answer tokens at or below p = 0.5 when last seen.
        num_certified_records: of all records, those whose every token was above 0.5 when last seen.
        num_records: of the memory.
        seconds: of this epoch's training.
        train_seconds: of all training so far.
    """

    epoch: int
    spent_visits: int
    budget_visits: int
    lora_rank: int
    learning_rate: float
    objective: float
    nll_nats: float
    num_visited_records: int
    num_stubborn_tokens: int
    num_certified_records: int
    num_records: int
    seconds: float
    train_seconds: float

    @property
    def left_visits(self) -> int:
        """Of the budget; none where the last epoch visited more records than were left of it."""
        return max(self.budget_visits - self.spent_visits, 0)


@dataclass(frozen=True, slots=True)
class Growth:
    """The adapter got a higher rank.

    Attributes:
        epoch: at whose end.
        from_rank: until then.
        to_rank: from the next epoch on.
    """

    epoch: int
    from_rank: int
    to_rank: int


Listener = Callable[[EpochEvent], None]


class MetricsFile:
    """Appends each event to a JSONL file.

    Nothing is written before the first event: a run that is killed earlier leaves a directory that it may use again.

    Args:
        path: ``metrics.jsonl``.
        num_epochs_kept: lines of later epochs are dropped before the first event is written; 0 starts anew.
    """

    def __init__(self, path: Path, num_epochs_kept: int = 0) -> None:
        self._path, self._num_epochs_kept, self._is_trimmed = path, num_epochs_kept, False

    def __call__(self, event: EpochEvent) -> None:
        if not self._is_trimmed:
            self._trim()
            self._is_trimmed = True
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(event)) + "\n")
        except OSError as error:
            raise ArtifactError(f"cannot write {self._path}: {error.strerror}; the last checkpoint is kept") from error

    def _trim(self) -> None:
        lines = self._path.read_bytes().splitlines(keepends=True) if self._path.exists() else []
        write_bytes(self._path, b"".join(line for line in lines if self._is_kept(line)))

    def _is_kept(self, line: bytes) -> bool:
        if not line.endswith(b"\n"):  # a killed run can leave a torn last line, of an epoch after the checkpoint
            return False
        try:
            return json.loads(line)["epoch"] <= self._num_epochs_kept
        except (ValueError, KeyError, TypeError):  # nothing that this class wrote
            return False
