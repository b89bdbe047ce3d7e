"""byheart: `byheart.learn` as anyone calls it, with its defaults.

The stopwatch runs from the call on, so encoding, the pass that reads the records ("reading") and the choice of the rank
count as training: the other sides have no such steps. byheart decides by itself when to stop, and asks for more than
the other sides must give: by its default margin every answer token at about p = 0.57 or above in a full pass, where
they stop as soon as the free run is exact. So its seconds are an upper bound of those that the others are measured by.
Its looks at how well the records are known are evaluation; ``seconds_with_looks`` has them in, and so have its
``cpu_seconds``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from learning_run import Watch

from peers import card
from peers.race import Race

LABEL = "byheart"
SETTINGS: dict[str, Any] = {}
GRID: list[dict[str, Any]] = []


class Stopwatch(Watch):
    """A watch that tells the race of every epoch.

    Attributes:
        finishing_seconds: that a card went on working when an epoch's last step had been asked for.
    """

    def __init__(self, race: Race) -> None:
        super().__init__()
        self.race, self.finishing_seconds = race, 0.0

    @contextmanager
    def phase(self, name: str, total: int) -> Iterator[Callable[[int], None]]:
        """Notes how long a phase took."""
        if name == "certifying":
            self.race.outcome.cpu_seconds = time.process_time() - self.begun_cpu
        with super().phase(name, total) as advance:
            yield advance

    def epoch(self, event: Any) -> None:
        """Notes an epoch's end."""
        super().epoch(event)
        asked = time.perf_counter()
        card.finish(self.race.device)
        self.finishing_seconds += time.perf_counter() - asked
        self.race.note_peak()
        self.race.outcome.epochs = event.epoch
        self.race.outcome.seconds = self.seconds + self.finishing_seconds
        self.race.tell(None, event.nll_nats, event.num_visited_records / event.num_records)


def run(race: Race) -> None:
    """Learns, and takes the certificate's word for what is exact."""
    import byheart

    memory, base, _ = race.load()
    stopwatch = Stopwatch(race)
    with _engine_noted(race):
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


@contextmanager
def _engine_noted(race: Race) -> Iterator[None]:
    """`byheart.learn` that tells the race what its steps are made of, for the length of a block."""
    from byheart.learning.step import Stepper

    def noted(*arguments: Any, **settings: Any) -> Stepper:
        stepper = Stepper(*arguments, **settings)
        parts = stepper.split_model
        all_words = parts.model.get_output_embeddings().weight.shape[0]
        vocabulary = stepper.vocabulary
        race.outcome.engine = {
            "cut": parts.cut,
            "skips_unread": parts.skips_unread,
            "num_shared": stepper.activations.num_shared,
            "batch_size": stepper.config.batch_size * stepper.config.accumulation,
            "num_words": all_words if vocabulary is None else vocabulary.num_listed,
            "fused_loss": stepper.fused_losses is not None,
        }
        return stepper

    with mock.patch("byheart.job.Stepper", noted):
        yield
