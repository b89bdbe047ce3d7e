"""A run under way: its epochs, step by step, and the checkpoint from which it can be taken up again.

It trains and counts; when to stop is decided elsewhere.
"""

from __future__ import annotations

import itertools
import math
import random
import time

from byheart.errors import InterruptedRunError
from byheart.learning.config import LearnConfig
from byheart.learning.evaluate import RecordLosses
from byheart.learning.events import EpochEvent
from byheart.learning.growth import resumed
from byheart.learning.hooks import Hooks
from byheart.learning.rate import learning_rate
from byheart.learning.state import EpochSums, Progress, save_checkpoint
from byheart.learning.step import BatchOutcome, Stepper
from byheart.memory.buckets import shuffled
from byheart.method.schedule import RecordSchedule, Standing
from byheart.method.weighting import CERTIFIED_PROBABILITY

WRITING_WAITS = 9
"""Times what a checkpoint took to write that pass before the next, so that a large one takes no more than a tenth."""


class Run:
    """A run's fixed parts, its stepper, and the progress that its checkpoint holds.

    Its budget is counted in visits of records, as many as so many epochs of all of them make: an epoch in which known
    records rest spends less of it. Records that no epoch has shown yet, as under a curriculum, do not rest: they are
    charged as if they were visited.

    Args:
        stepper: takes the steps.
        schedule: which records an epoch visits.
        config: budget, learning rate, checkpoints.
        seed: of the order of records and of dropout.
        hooks: what is called on the way.
    """

    def __init__(
        self, stepper: Stepper, schedule: RecordSchedule, config: LearnConfig, seed: int, hooks: Hooks
    ) -> None:
        self.schedule, self.config, self.seed, self.hooks = schedule, config, seed, hooks
        self.lengths = stepper.activations.lengths
        self.num_answer_tokens = sum(len(record.answer_ids) for record in stepper.memory.records)
        self.budget_epochs = config.budget_epochs(len(self.lengths))
        progress = Progress(Standing.unseen(len(self.lengths)))
        if hooks.checkpoint is not None and hooks.checkpoint.exists():
            stepper, progress = resumed(hooks.checkpoint, stepper)
        self.earlier_seconds = progress.total_seconds
        self.go_on(stepper, progress)

    def go_on(self, stepper: Stepper, progress: Progress) -> None:
        """From here on, with this adapter and from where this progress stands."""
        self.stepper, self.progress = stepper, progress
        if self.stepper.vocabulary is not None:
            self.stepper.vocabulary.admit(progress.admitted)
        self.stepper.adapter.train()
        self.save()

    @property
    def budget_visits(self) -> int:
        """With so many spent since the start or the last growth, the run is at its end."""
        return self.budget_epochs * len(self.lengths)

    @property
    def draw_seed(self) -> int:
        """Of what is drawn at this step and at no other, so that a resumed run draws what an unbroken one draws."""
        return (self.seed << 32) + self.progress.num_steps

    def one_epoch(self) -> EpochEvent:
        """Visits the records that the schedule names, or those of them that are left.

        Raises:
            InterruptedRunError: ``hooks.interrupted`` said so; the checkpoint is written.
        """
        progress, config = self.progress, self.config
        if not progress.order:
            progress.order = self._order()
        size = config.batch_size * config.accumulation
        starts = range(0, len(progress.order), size)
        for start in starts[progress.step :]:
            before = time.monotonic()
            outcomes, progress.weighting_state = self.stepper.step(
                progress.order[start : start + size],
                self._learning_rate(progress.step, len(starts)),
                progress.weighting_state,
                seed=self.draw_seed,
            )
            progress.step, progress.num_steps = progress.step + 1, progress.num_steps + 1
            self._take_in(outcomes, time.monotonic() - before)
            if self.hooks.interrupted():
                self.save()
                raise InterruptedRunError(f"stopped in epoch {progress.epoch + 1}")
            self.save_when_due()
        event = self._event(len(starts))
        progress.num_visits += len(progress.order)
        progress.spent_visits = event.spent_visits
        progress.epoch, progress.step, progress.order, progress.sums = progress.epoch + 1, 0, [], EpochSums()
        return event

    def _order(self) -> list[int]:
        """The records of the coming epoch, batch by batch."""
        epoch = self.progress.epoch
        indices = self.schedule(epoch, self.progress.standing, self.seed).tolist()
        rng = random.Random(f"{self.seed}/{epoch}")
        return list(itertools.chain(*shuffled(indices, self.lengths, self.config.batch_size, rng)))

    def _learning_rate(self, step: int, num_steps_in_epoch: int) -> float:
        progress, num_records = self.progress, len(self.lengths)
        share = len(progress.order) / num_records
        num_passes = progress.num_visits / num_records + share * (step / num_steps_in_epoch)
        return learning_rate(
            self.config,
            self.stepper.starting_rate,
            num_passes,
            self.budget_epochs,
            left_share=self._left_share(),
            is_grown=bool(progress.growths),
        )

    def _left_share(self) -> float:
        """Stubborn tokens when last seen, as a share of all, or of those that the last growth began with."""
        standing, at_first = self.progress.standing, self.progress.num_stubborn_at_first
        if not standing.is_complete:
            return 1.0
        at_first = self.num_answer_tokens if at_first is None else at_first
        return int(standing.num_stubborn_N.sum()) / max(at_first, 1)

    def _take_in(self, outcomes: list[BatchOutcome], seconds: float) -> None:
        progress, sums = self.progress, self.progress.sums
        for outcome in outcomes:
            progress.standing.take_in(progress.epoch, outcome.indices, outcome.worst_nll_B, outcome.num_stubborn_B)
            sums.objective += outcome.objective / len(outcomes)
            sums.nll_nats += float(outcome.nll_A.sum())
            sums.num_tokens += len(outcome.nll_A)
        sums.seconds += seconds
        progress.train_seconds += seconds

    def _event(self, num_steps_in_epoch: int) -> EpochEvent:
        progress, sums = self.progress, self.progress.sums
        num_unshown = int((progress.standing.last_seen_N < 0).sum())
        return EpochEvent(
            epoch=progress.epoch + 1,
            spent_visits=progress.spent_visits + len(progress.order) + num_unshown,
            budget_visits=self.budget_visits,
            lora_rank=self.stepper.adapter.placement.lora_rank,
            learning_rate=self._learning_rate(num_steps_in_epoch - 1, num_steps_in_epoch),
            objective=sums.objective / num_steps_in_epoch,
            nll_nats=sums.nll_nats / sums.num_tokens,
            num_visited_records=len(progress.order),
            num_stubborn_tokens=int(progress.standing.num_stubborn_N.sum()),
            num_certified_records=int((progress.standing.min_probability_N > CERTIFIED_PROBABILITY).sum()),
            num_records=len(self.lengths),
            seconds=sums.seconds,
            train_seconds=progress.train_seconds,
        )

    def take_in(self, epoch: int, losses: RecordLosses) -> None:
        """Puts what a look after ``epoch`` found of all records in the place of what training saw."""
        progress = self.progress
        progress.standing.take_in(epoch - 1, slice(None), losses.worst_N, losses.num_stubborn_N)
        progress.has_looked = True
        if self.stepper.vocabulary is not None and self.stepper.vocabulary.admit(losses.rivals):
            progress.admitted = sorted({*progress.admitted, *losses.rivals})

    def save_when_due(self) -> None:
        """Writes a checkpoint where the last one is old enough."""
        if time.monotonic() >= self.due_at:
            self.save()

    def save(self) -> None:
        """Writes a checkpoint, where one is to be kept."""
        begun_at = time.monotonic()
        self.progress.total_seconds = self.earlier_seconds + begun_at - self.hooks.started
        self.due_at = math.inf
        if self.hooks.checkpoint is None:
            return
        save_checkpoint(
            self.hooks.checkpoint,
            self.hooks.run_fingerprint,
            self.progress,
            self.stepper.adapter,
            self.stepper.optimizer,
        )
        now, wait = time.monotonic(), self.config.checkpoint_seconds
        self.due_at = now + (max(wait, WRITING_WAITS * (now - begun_at)) if wait else 0.0)
