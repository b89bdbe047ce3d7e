"""The loop: which records when, at which rate, until when; what it tells, and where it can be taken up again.

It never decides that something is learnt: what training sees was measured before the step that followed. When all
records look certified it asks ``verify``, an independent full pass, and stops only when that agrees.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch

from byheart.errors import InterruptedRunError
from byheart.learning.best import Looking
from byheart.learning.config import LearnConfig
from byheart.learning.events import EpochEvent, Listener
from byheart.learning.state import EpochSums, Progress, load_checkpoint, save_checkpoint
from byheart.learning.step import BatchOutcome, Stepper
from byheart.learning.stopping import Plateau, StopReason, Verification
from byheart.method.schedule import RecordSchedule, Standing
from byheart.method.weighting import CERTIFIED_PROBABILITY, critical_nll_nats


@dataclass(frozen=True, slots=True)
class LearnResult:
    """How learning ended; the adapter that was passed in holds what was learnt.

    Attributes:
        stop_reason: certified (a full pass agreed), budget, or plateau.
        num_epochs: epochs run.
        weights_epoch: the one at whose end the adapter had the weights that it was left with.
        train_seconds: of training steps, over all starts of the run; looks, full passes and loading not counted.
        earlier_seconds: of all the run's work in the starts before this one, each up to its last checkpoint.
        last_event: of the last epoch.
    """

    stop_reason: StopReason
    num_epochs: int
    weights_epoch: int
    train_seconds: float
    earlier_seconds: float
    last_event: EpochEvent


@dataclass(frozen=True, slots=True)
class Hooks:
    """What a run calls while it goes; each may be left out.

    Attributes:
        verify: a full pass over all records; True where every answer token is above the threshold.
        look: measures an adapter cheaply, so that a run which is not certified keeps its best weights;
            None: its last.
        on_epoch: told after each epoch.
        interrupted: asked after each step; True stops the run at a checkpoint.
        checkpoint: where the checkpoint is kept; one that is there is gone on from; None: nowhere.
        run_fingerprint: identity of the run, written into the checkpoint.
        started: when this start of the run began, by ``time.monotonic``.
    """

    verify: Callable[[], bool] | None = None
    look: Looking | None = None
    on_epoch: Listener = lambda event: None
    interrupted: Callable[[], bool] = lambda: False
    checkpoint: Path | None = None
    run_fingerprint: str = ""
    started: float = field(default_factory=time.monotonic)


def learn(
    stepper: Stepper,
    schedule: RecordSchedule,
    config: LearnConfig,
    *,
    wanted_probability: float,
    seed: int,
    hooks: Hooks,
) -> LearnResult:
    """Trains the stepper's adapter until every record is certified, the budget is spent, or a plateau is reached.

    Certified, it keeps the weights that the full pass agreed to; else the best that a look has found.

    Args:
        stepper: takes the steps.
        schedule: which records an epoch visits.
        config: budget, learning rate, checkpoints.
        wanted_probability: what every answer token must exceed before ``hooks.verify`` is asked.
        seed: of the order of records and of dropout.
        hooks: what is called on the way.

    Raises:
        InterruptedRunError: ``hooks.interrupted`` said so; the checkpoint is written.
        ArtifactError: a checkpoint cannot be written or read.
        DivergedError: a loss or a gradient is not finite.
    """
    adapter = stepper.adapter
    device = next(adapter.parameters()).device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        adapter.train()
        try:
            return _Run(stepper, schedule, config, wanted_probability, seed, hooks).to_the_end()
        finally:
            adapter.eval()


class _Run:
    """A run under way: its fixed parts, and the progress that its checkpoint holds."""

    def __init__(
        self,
        stepper: Stepper,
        schedule: RecordSchedule,
        config: LearnConfig,
        wanted_probability: float,
        seed: int,
        hooks: Hooks,
    ) -> None:
        self.stepper, self.schedule, self.config = stepper, schedule, config
        self.wanted_probability, self.seed, self.hooks = wanted_probability, seed, hooks
        self.progress = Progress(Standing.unseen(len(stepper.memory)))
        if hooks.checkpoint is not None and hooks.checkpoint.exists():
            self.progress = load_checkpoint(hooks.checkpoint, stepper.adapter, stepper.optimizer)
        self.earlier_seconds = self.progress.total_seconds
        best, num_stale = self.progress.plateau
        self.num_epochs = config.num_epochs(len(stepper.memory))
        self.plateau = Plateau(config.patience(self.num_epochs), best, num_stale)
        not_before, wait = self.progress.verification
        self.verification = Verification(not_before=not_before, wait=wait)
        self.save()

    def to_the_end(self) -> LearnResult:
        while True:
            event = self.one_epoch()
            self.hooks.on_epoch(event)
            if reason := self.stop_reason(event):
                return LearnResult(
                    stop_reason=reason,
                    num_epochs=event.epoch,
                    weights_epoch=event.epoch if reason == "certified" else self.settle(event.epoch),
                    train_seconds=event.train_seconds,
                    earlier_seconds=self.earlier_seconds,
                    last_event=event,
                )
            if self.hooks.look is not None:
                self.progress.best.take_in(event, self.stepper.adapter, self.hooks.look)
            self.save_when_due()

    def settle(self, epoch: int) -> int:
        """Leaves the best weights in the adapter; the epoch they are of."""
        if self.hooks.look is None:
            return epoch
        return self.progress.best.settle(epoch, self.stepper.adapter, self.hooks.look)

    def one_epoch(self) -> EpochEvent:
        progress, config = self.progress, self.config
        if not progress.order:
            progress.order = self.schedule(progress.epoch, progress.standing, self.seed).tolist()
            random.Random(f"{self.seed}/{progress.epoch}").shuffle(progress.order)
        size = config.batch_size * config.accumulation
        starts = range(0, len(progress.order), size)
        for start in starts[progress.step :]:
            before = time.monotonic()
            outcomes, progress.weighting_state = self.stepper.step(
                progress.order[start : start + size],
                self.learning_rate(progress.step, len(starts)),
                progress.weighting_state,
                seed=(self.seed << 32) + progress.num_steps,
            )
            progress.step, progress.num_steps = progress.step + 1, progress.num_steps + 1
            self.take_in(outcomes, time.monotonic() - before)
            if self.hooks.interrupted():
                self.save()
                raise InterruptedRunError(f"stopped in epoch {progress.epoch + 1} of {self.num_epochs}")
            self.save_when_due()
        event = self.event(len(starts))
        progress.epoch, progress.step, progress.order, progress.sums = progress.epoch + 1, 0, [], EpochSums()
        return event

    def learning_rate(self, step: int, num_steps_in_epoch: int) -> float:
        if self.config.decay == "constant":
            return self.config.learning_rate
        config = self.config
        spent = (self.progress.epoch + step / num_steps_in_epoch) / (self.num_epochs * config.decay_share)
        return config.learning_rate * max(1 - spent, config.floor_share)

    def take_in(self, outcomes: list[BatchOutcome], seconds: float) -> None:
        progress, sums = self.progress, self.progress.sums
        for outcome in outcomes:
            progress.standing.min_probability_N[outcome.indices] = (-outcome.worst_nll_B).exp()
            progress.standing.last_seen_N[outcome.indices] = progress.epoch
            sums.objective += outcome.objective / len(outcomes)
            sums.nll_nats += float(outcome.nll_A.sum())
            sums.num_tokens += len(outcome.nll_A)
            sums.num_stubborn_tokens += int((outcome.nll_A > critical_nll_nats()).sum())
        sums.seconds += seconds
        progress.train_seconds += seconds

    def event(self, num_steps_in_epoch: int) -> EpochEvent:
        progress, sums = self.progress, self.progress.sums
        return EpochEvent(
            epoch=progress.epoch + 1,
            num_epochs=self.num_epochs,
            learning_rate=self.learning_rate(num_steps_in_epoch - 1, num_steps_in_epoch),
            objective=sums.objective / num_steps_in_epoch,
            nll_nats=sums.nll_nats / sums.num_tokens,
            num_visited_records=len(progress.order),
            num_stubborn_tokens=sums.num_stubborn_tokens,
            num_certified_records=int((progress.standing.min_probability_N > CERTIFIED_PROBABILITY).sum()),
            num_records=len(progress.standing.last_seen_N),
            seconds=sums.seconds,
            train_seconds=progress.train_seconds,
        )

    def stop_reason(self, event: EpochEvent) -> StopReason | None:
        looks_certified = bool((self.progress.standing.min_probability_N > self.wanted_probability).all())
        if self.hooks.verify and looks_certified and self.verification.due(event.epoch):
            if self.hooks.verify():
                return "certified"
            self.verification.failed(event.epoch)
            self.progress.verification = (self.verification.not_before, self.verification.wait)
        if event.epoch >= self.num_epochs:
            return "budget"
        if event.num_visited_records < event.num_records:
            return None
        stuck = self.plateau.reached(event.num_stubborn_tokens)
        self.progress.plateau = (self.plateau.best, self.plateau.num_stale)
        return "plateau" if stuck else None

    def save_when_due(self) -> None:
        if time.monotonic() - self.saved_at >= self.config.checkpoint_seconds:
            self.save()

    def save(self) -> None:
        self.saved_at = time.monotonic()
        self.progress.total_seconds = self.earlier_seconds + self.saved_at - self.hooks.started
        if self.hooks.checkpoint is None:
            return
        save_checkpoint(
            self.hooks.checkpoint,
            self.hooks.run_fingerprint,
            self.progress,
            self.stepper.adapter,
            self.stepper.optimizer,
        )
