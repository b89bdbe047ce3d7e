"""The loop: epoch after epoch until everything is certified, the budget is spent, or there is no way forward.

It never decides that something is learnt: what training sees was measured before the step that followed, and of records
that rest some epochs ago. When nearly all records seem known it looks at them all, under the mean of the last steps'
weights, which costs little and finds those that have slipped; when all are known it asks ``verify``, an independent
full pass, and stops only when that agrees too. Where it would end without, the adapter may grow instead.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from byheart.learning.best import Look
from byheart.learning.config import LearnConfig
from byheart.learning.events import EpochEvent, Growth
from byheart.learning.growth import begun_anew, grown, next_growth, sentence
from byheart.learning.hooks import Hooks
from byheart.learning.run import Run
from byheart.learning.step import Stepper
from byheart.learning.stopping import StopReason
from byheart.method.schedule import RecordSchedule
from byheart.model.adapter import Adapter

NEARLY_ALL = 0.9
"""Share of records that seem known from which on a look at all is worth its price."""
LOOKS_A_PASS = 4
"""Most such looks for as many visits as there are records; one costs about a quarter of a pass."""


@dataclass(frozen=True, slots=True)
class LearnResult:
    """How learning ended.

    Attributes:
        adapter: holds what was learnt; the stepper's own stays with the weights of its last step.
        stop_reason: certified (a full pass agreed), budget, or plateau.
        num_epochs: epochs run.
        weights_epoch: the one at whose end the adapter had the weights that it was left with.
        growths: of the adapter, in order.
        train_seconds: of training steps, over all starts of the run; looks, full passes and loading not counted.
        earlier_seconds: of all the run's work in the starts before this one, each up to its last checkpoint.
    """

    adapter: Adapter
    stop_reason: StopReason
    num_epochs: int
    weights_epoch: int
    growths: tuple[Growth, ...]
    train_seconds: float
    earlier_seconds: float


def learn(
    stepper: Stepper,
    schedule: RecordSchedule,
    config: LearnConfig,
    *,
    wanted_probability: float,
    seed: int,
    hooks: Hooks,
    max_growths: int = 0,
) -> LearnResult:
    """Trains the stepper's adapter until every record is certified, the budget is spent, or a plateau is reached.

    Certified, it keeps the weights that the full pass agreed to; else the best that a look has found, or with
    ``config.keep`` "last" those that it ended with.

    Args:
        stepper: takes the steps.
        schedule: which records an epoch visits.
        config: budget, learning rate, checkpoints.
        wanted_probability: what every answer token must exceed before ``hooks.verify`` is asked.
        seed: of the order of records, of dropout and of what an adapter grows by.
        hooks: what is called on the way.
        max_growths: how often the adapter may grow and the budget begin anew; without ``hooks.look`` it never does.

    Raises:
        InterruptedRunError: ``hooks.interrupted`` said so; the checkpoint is written.
        ArtifactError: a checkpoint cannot be written or read.
        DivergedError: a loss or a gradient is not finite.
    """
    device = next(stepper.adapter.parameters()).device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        run = Run(stepper, schedule, config, seed, hooks)
        try:
            return _Loop(run, wanted_probability, max_growths).to_the_end()
        finally:
            run.stepper.adapter.eval()


class _Loop:
    """What is decided between a run's epochs."""

    def __init__(self, run: Run, wanted_probability: float, max_growths: int) -> None:
        self.run, self.hooks = run, run.hooks
        self.wanted_probability, self.max_growths = wanted_probability, max_growths
        self.keeps_best = run.config.keep == "best"
        self.patience_visits = run.config.patience_epochs(run.budget_epochs) * len(run.lengths)

    def to_the_end(self) -> LearnResult:
        run = self.run
        while True:
            event = run.one_epoch()
            self.hooks.on_epoch(event)
            adapter = run.stepper.learnt()
            if reason := self.stop_reason(event, adapter):
                weights_epoch = event.epoch if reason == "certified" else self.settle(event, adapter)
                if reason == "certified" or not self.grows(reason, adapter, event.epoch, weights_epoch):
                    return LearnResult(
                        adapter=adapter,
                        stop_reason=reason,
                        num_epochs=event.epoch,
                        weights_epoch=weights_epoch,
                        growths=tuple(run.progress.growths),
                        train_seconds=event.train_seconds,
                        earlier_seconds=run.earlier_seconds,
                    )
            elif self.keeps_best and self.hooks.look is not None and run.progress.standing.is_complete:
                run.progress.best.take_in(event, adapter, self.hooks.look)
            run.save_when_due()

    def stop_reason(self, event: EpochEvent, adapter: Adapter) -> StopReason | None:
        progress = self.run.progress
        if self.is_certified(event.epoch, adapter):
            return "certified"
        if event.spent_visits >= event.budget_visits:
            return "budget"
        if not progress.standing.is_complete:
            return None
        stuck = progress.plateau.reached(event.num_stubborn_tokens, event.num_visited_records, self.patience_visits)
        return "plateau" if stuck else None

    def is_certified(self, epoch: int, adapter: Adapter) -> bool:
        """Whether a look at all records finds them known, and then a full pass does."""
        hooks, progress = self.hooks, self.run.progress
        if hooks.verify is None or not self.is_worth_a_look():
            return False
        progress.num_visits_at_look = progress.num_visits
        # The first look is no glance: it names the words in the answers' way, which a shortlist may miss. Glances draw
        # another sample each time, so that what one of them misses is met by another.
        if hooks.glance is not None and progress.has_looked:
            self.run.take_in(epoch, hooks.glance(adapter, self.run.draw_seed))
            if not progress.standing.all_above(self.wanted_probability):
                return False
        if hooks.look is not None:
            self.run.take_in(epoch, hooks.look(adapter))
        if not progress.standing.all_above(self.wanted_probability) or not progress.verification.due(epoch):
            return False
        if hooks.verify(adapter):
            return True
        progress.verification.failed(epoch)
        return False

    def is_worth_a_look(self) -> bool:
        """Whether all records seem known; or nearly all, as steps that mend the last push others about and the mean of
        the weights may know all the same, and a share of a pass lies behind the last look.
        """
        progress, num_records = self.run.progress, len(self.run.lengths)
        if not progress.standing.is_complete:
            return False
        num_known = int((progress.standing.min_probability_N > self.wanted_probability).sum())
        if num_known == num_records:
            return True
        num_visits = progress.num_visits - progress.num_visits_at_look
        is_near = num_known >= NEARLY_ALL * num_records and num_visits >= num_records / LOOKS_A_PASS
        return (self.hooks.glance or self.hooks.look) is not None and is_near

    def settle(self, event: EpochEvent, adapter: Adapter) -> int:
        """Leaves in the adapter the weights that the configuration asks for; the epoch they are of."""
        if not self.keeps_best or self.hooks.look is None:
            return event.epoch
        return self.run.progress.best.settle(event, adapter, self.hooks.look)

    def grows(self, reason: StopReason, adapter: Adapter, epoch: int, weights_epoch: int) -> bool:
        """Begins anew with a larger adapter, from the weights of ``adapter``, where these leave records uncertified
        and it may grow; False where not.
        """
        run, look = self.run, self.hooks.look
        growth = next_growth(epoch, adapter.placement.lora_rank)
        number = len(run.progress.growths) + 1
        if look is None or growth is None or number > self.max_growths:
            return False
        losses = look(adapter)
        known, num_records = Look.of(losses), len(run.lengths)
        if known.num_certified_records == num_records:
            return False
        self.hooks.say(sentence(reason, growth, known, num_records))
        smaller = run.stepper
        larger = grown(smaller, adapter, growth.to_rank, seed=(number << 32) + run.seed)
        smaller.optimizer.state.clear()  # whoever began the run still holds it; what follows is the peak of memory
        run.go_on(larger, begun_anew(run.progress, growth, larger, losses, weights_epoch))
        return True
