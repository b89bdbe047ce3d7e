"""What a run calls while it goes: how it measures, what it tells, where it keeps its checkpoint."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from byheart.learning.best import Looking
from byheart.learning.evaluate import RecordLosses
from byheart.learning.events import Listener
from byheart.model.adapter import Adapter


@dataclass(frozen=True, slots=True)
class Hooks:
    """What a run calls while it goes; each may be left out.

    Attributes:
        look: measures all records under an adapter, as it would be saved, on cached activations. It chooses the best
            weights of a run that is not certified. None: the last weights stay.
        glance: estimates the same at a fraction of the price, from a sample that the number draws, with all words
            only for the tokens that it leaves in doubt. It decides whether a full pass is worth its time, and finds the
            records that have slipped. None: `look` does, or without one what training saw.
        verify: a full pass over all records; True where every answer token is above the probability to be proved.
        on_epoch: told after each epoch.
        say: told in a sentence when the adapter grows.
        interrupted: asked after each step; True stops the run at a checkpoint.
        checkpoint: where the checkpoint is kept; one that is there is gone on from; None: nowhere.
        run_fingerprint: identity of the run, written into the checkpoint.
        started: when this start of the run began, by ``time.monotonic``.
    """

    look: Looking | None = None
    glance: Callable[[Adapter, int], RecordLosses] | None = None
    verify: Callable[[Adapter], bool] | None = None
    on_epoch: Listener = lambda event: None
    say: Callable[[str], None] = lambda sentence: None
    interrupted: Callable[[], bool] = lambda: False
    checkpoint: Path | None = None
    run_fingerprint: str = ""
    started: float = field(default_factory=time.monotonic)
