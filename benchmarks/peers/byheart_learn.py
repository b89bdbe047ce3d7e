"""byheart: `byheart.learn` as anyone calls it, with its defaults.

The stopwatch runs from the call on, so encoding, the pass that reads the records ("reading") and the choice of the rank
count as training: the other sides have no such steps. byheart decides by itself when to stop, and asks for more than
the other sides must give: with its default margin every answer token above p = 0.65 in a full pass, where they stop as
soon as the free run is exact. So its seconds are an upper bound of those that the others are measured by. Its looks at
how well the records are known are evaluation; ``seconds_with_looks`` has them in, and so have its ``cpu_seconds``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from peers.race import Race

LABEL = "byheart"
SETTINGS: dict[str, Any] = {}
GRID: list[dict[str, Any]] = []


class Stopwatch:
    """A byheart reporter that notes when what happened.

    Attributes:
        phases: begin and end of each phase, by name.
        epochs: when each epoch ended, and what byheart says of it.
    """

    def __init__(self, race: Race) -> None:
        self.race = race
        self.begun, self.begun_cpu = time.perf_counter(), time.process_time()
        self.phases: dict[str, list[float]] = {}
        self.epochs: list[tuple[float, Any]] = []

    def say(self, sentence: str) -> None:
        """Nothing to note."""

    @contextmanager
    def phase(self, name: str, total: int) -> Iterator[Callable[[int], None]]:
        """Notes how long a phase took."""
        if name == "certifying":
            self.race.outcome.cpu_seconds = time.process_time() - self.begun_cpu
        begun = time.perf_counter()
        yield lambda count: None
        self.phases[name] = [begun, time.perf_counter()]

    def epoch(self, event: Any) -> None:
        """Notes an epoch's end."""
        self.epochs.append((time.perf_counter(), event))
        self.race.outcome.epochs = event.epoch
        self.race.outcome.seconds = self.epochs[0][0] - self.begun + event.train_seconds - self.first.train_seconds
        self.race.tell(None, event.nll_nats)

    @property
    def first(self) -> Any:
        """The first epoch's event."""
        return self.epochs[0][1]


def run(race: Race) -> None:
    """Learns, and takes the certificate's word for what is exact."""
    import byheart

    memory, base, _ = race.load()
    stopwatch = Stopwatch(race)
    bundle = byheart.learn(memory, base, seed=race.job.seed, reporter=stopwatch, **race.job.settings)
    ended = time.perf_counter()
    outcome, summary = race.outcome, bundle.summary()
    learnt = stopwatch.phases.get("certifying", [ended])[0]
    reading = stopwatch.phases.get("reading", [0.0, 0.0])
    outcome.num_parameters, outcome.lora_rank = summary["num_parameters"], summary["lora_rank"]
    outcome.evaluation_seconds = ended - stopwatch.begun - outcome.seconds
    outcome.best_num_exact = sum(record.verdict != "failed" for record in bundle.certificate.records)
    outcome.best_epoch = outcome.epochs
    outcome.is_exact = outcome.best_num_exact == len(memory)
    outcome.notes = {
        "reading_seconds": reading[1] - reading[0],
        "seconds_with_looks": learnt - stopwatch.begun,
        "min_probability": bundle.certificate.min_probability,
    }
    race.write()
