"""One job → one outcome, in whatever process an engine has it done. The base model is kept for the next job.

What goes wrong with a cell is its outcome and never an exception: the rest of the sweep goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache

from byheart.config import RunConfig
from byheart.learning.events import EpochEvent
from byheart.memory.records import Memory
from byheart.model.base import Base, load
from byheart.model.config import ModelConfig
from byheart.pipeline import learn
from byheart.sweep.engines import Job, Outcome
from byheart.sweep.measure import Costs, begin_peak, measured, peak_memory


def run_job(job: Job) -> Outcome:
    """Does a job: the base model loaded, or found to be, the records learnt, the outcome measured."""
    try:
        config = RunConfig.parse(job.run, job.name)
        unseen = Memory.from_pairs(job.unseen) if job.unseen else None
        base = loaded(config.model.model_dump_json())
        return run_cell(job.name, config, Memory.from_pairs(job.records), base, unseen)
    except Exception as error:  # one cell's trouble, whatever it is, is not the sweep's
        return Outcome.of_error(job.name, error)


def run_cell(name: str, config: RunConfig, memory: Memory, base: Base, unseen: Memory | None = None) -> Outcome:
    """One cell on a base model that is loaded.

    Args:
        name: the cell's.
        config: its settings.
        memory: its records.
        base: the model that ``config`` names.
        unseen: records that are asked for and not learnt; None: there are none.
    """
    started = time.monotonic()
    begin_peak(base.device)
    epochs = Epochs()
    bundle = learn(memory, base, config=config.model_dump(mode="json"), reporter=epochs)
    asked = None if unseen is None else bundle.certify(unseen)
    costs = Costs(round(time.monotonic() - started, 3), peak_memory(base.device))
    numbers, tokens = measured(bundle, epochs.events, costs, asked)
    return Outcome(name, numbers=numbers.model_dump(mode="json"), tokens=tokens)


@lru_cache(maxsize=1)
def loaded(model: str) -> Base:
    """The base model of these settings, as JSON; only the last one is kept."""
    loaded.cache_clear()  # lets go of the one before, so that two are never in memory
    return load(ModelConfig.model_validate_json(model))


class Epochs:
    """A reporter that keeps the epochs and tells nobody."""

    def __init__(self) -> None:
        self.events: list[EpochEvent] = []

    def say(self, sentence: str) -> None:
        """Drops the sentence."""

    @contextmanager
    def phase(self, name: str, total: int) -> Iterator[Callable[[int], None]]:
        """Counts nothing."""
        yield lambda count: None

    def epoch(self, event: EpochEvent) -> None:
        """Keeps the event."""
        self.events.append(event)
