import copy
import itertools
import math
import random
import time
from dataclasses import fields, replace
from types import SimpleNamespace

import pytest
import torch

from byheart.errors import InterruptedRunError
from byheart.learning import run as run_module
from byheart.learning.config import LearnConfig
from byheart.learning.evaluate import RecordLosses
from byheart.learning.events import Growth
from byheart.learning.hooks import Hooks
from byheart.learning.loop import learn
from byheart.learning.loss import by_record
from byheart.learning.rate import starting_rate
from byheart.learning.shortlist import Vocabulary
from byheart.learning.step import BatchOutcome
from byheart.method.active import ActiveSet
from byheart.method.schedule import AllRecords
from byheart.model.adapter import Adapter
from models_for_tests import awake, placed, small

NUM_RECORDS = 5


class Script:
    """A stepper that learns nothing: each record's p is given by a function of how often it was visited.

    Records are of one answer token.
    """

    def __init__(self, p=lambda visit: 0.1, num_records: int = NUM_RECORDS, lengths=None):
        self.p, self.visits = p, [0] * num_records
        self.memory = SimpleNamespace(records=[SimpleNamespace(answer_ids=(1,))] * num_records)
        self.activations = SimpleNamespace(lengths=lengths or [3] * num_records)
        self.adapter = awake(placed(small("llama"), "1", "o_proj"))
        self.optimizer = torch.optim.AdamW(self.adapter.parameters())
        self.starting_rate = 0.0
        self.vocabulary: Vocabulary | None = None
        self.taken: list[tuple[list[int], float, int]] = []
        self.was_training: list[bool] = []

    def learnt(self):
        return self.adapter

    def step(self, indices, learning_rate, state, seed):
        self.taken.append((list(indices), learning_rate, seed))
        self.was_training.append(self.adapter.training)
        nll = [-math.log(self.p(self.visits[i])) for i in indices]
        for i in indices:
            self.visits[i] += 1
        num_stubborn = by_record(torch.tensor(nll), torch.arange(len(nll)), len(nll))[1]
        outcome = BatchOutcome(indices, 0.5, torch.tensor(nll), torch.ones(len(nll)), torch.tensor(nll), num_stubborn)
        return [outcome], {"record": {"steps": 1.0}}

    @property
    def rates(self) -> list[float]:
        return [rate for _, rate, _ in self.taken]


def losses(*p: float) -> RecordLosses:
    """What a look finds: each record's probability."""
    worst_N = -torch.tensor(p).log()
    return RecordLosses(worst_N, worst_N, (torch.tensor(p) <= 0.5).to(torch.int64))


def with_stubborn(num_stubborn_tokens: int) -> RecordLosses:
    """What a look finds where one record has all the stubborn tokens."""
    ones_N = torch.ones(NUM_RECORDS)
    return RecordLosses(ones_N, ones_N, torch.tensor([0] * (NUM_RECORDS - 1) + [num_stubborn_tokens]))


def run(
    script: Script,
    *,
    seed: int = 7,
    schedule=None,
    wanted: float = 0.5,
    hooks: Hooks | None = None,
    max_growths: int = 0,
    **settings,
):
    config = LearnConfig(**{"epochs": 4, "batch_size": 2, **settings})
    script.starting_rate = starting_rate(config, script.adapter.placement, 1)
    return learn(
        script,  # type: ignore[arg-type]
        schedule or AllRecords(),
        config,
        wanted_probability=wanted,
        seed=seed,
        hooks=hooks or Hooks(),
        max_growths=max_growths,
    )


def test_a_linear_rate_falls_to_nothing_step_by_step_as_in_the_papers_scripts():
    script = Script()
    run(script, epochs=2, learning_rate=0.6, decay="linear", decay_share=1.0, floor_share=0.0)
    assert script.rates == pytest.approx([0.6, 0.5, 0.4, 0.3, 0.2, 0.1])


def test_a_linear_rate_falls_over_its_share_of_the_budget_down_to_the_floor():
    script = Script()
    settings = {"learning_rate": 1.0, "decay": "linear", "decay_share": 0.5, "floor_share": 0.25, "plateau_epochs": 9}
    run(script, epochs=4, batch_size=NUM_RECORDS, **settings)
    assert script.rates == pytest.approx([1.0, 0.5, 0.25, 0.25])


def test_a_constant_rate_stays():
    script = Script()
    run(script, epochs=2, learning_rate=0.6, decay="constant")
    assert script.rates == [0.6] * 6


def test_the_budget_ends_a_run():
    result = run(Script(), epochs=3)
    assert (result.stop_reason, result.num_epochs) == ("budget", 3)


def test_a_run_ends_certified_when_the_full_pass_agrees():
    asked = []
    hooks = Hooks(verify=lambda adapter: asked.append(1) or len(asked) == 2)
    result = run(Script(lambda visit: 0.9), hooks=hooks, epochs=9)
    assert (result.stop_reason, result.num_epochs) == ("certified", 2)


def test_what_training_saw_alone_never_ends_a_run_certified():
    assert run(Script(lambda visit: 0.99), epochs=3, hooks=Hooks(verify=lambda adapter: False)).stop_reason == "budget"
    assert run(Script(lambda visit: 0.99), epochs=3).stop_reason == "budget"


@pytest.mark.parametrize(("p", "asked"), [(0.59, False), (0.6, False), (0.61, True)])
def test_the_full_pass_is_asked_for_when_every_record_exceeds_the_wanted_probability(p, asked):
    calls = []
    run(Script(lambda visit: p), wanted=0.6, epochs=1, hooks=Hooks(verify=lambda adapter: bool(calls.append(1))))
    assert bool(calls) is asked


def test_one_record_below_keeps_the_full_pass_from_being_made():
    hooks = Hooks(verify=lambda adapter: pytest.fail("a full pass was made"))
    script = Script(lambda visit: 0.9)
    script.p = lambda visit: 0.9 if script.taken[-1][0] != [4] else 0.4
    run(script, hooks=hooks, epochs=1, batch_size=1)


def looking_and_verifying(found, verified):
    """Hooks that take what they tell, a look each and a full pass each, and how often they were asked."""
    asked = {"looks": 0, "passes": 0}

    def look(adapter):
        asked["looks"] += 1
        return found[min(asked["looks"], len(found)) - 1]

    def verify(adapter):
        asked["passes"] += 1
        return verified

    return Hooks(look=look, verify=verify), asked


def test_a_look_that_finds_a_slipped_record_spares_the_full_pass():
    hooks, asked = looking_and_verifying([losses(0.9, 0.9, 0.4, 0.9, 0.9)], verified=True)
    run(Script(lambda visit: 0.9), hooks=hooks, epochs=3)
    assert asked["passes"] == 0
    assert asked["looks"] >= 3


def test_records_that_a_look_finds_slipped_come_back_at_once():
    found = [losses(0.9, 0.4, 0.9, 0.3, 0.9), losses(*[0.9] * 5)]
    hooks, _ = looking_and_verifying(found, verified=False)
    script = Script(lambda visit: 0.9)
    run(script, hooks=hooks, schedule=ActiveSet(0.5, rest_epochs=50), epochs=2, batch_size=NUM_RECORDS)
    assert sorted(script.taken[1][0]) == [1, 3]


def test_the_schedule_sees_what_a_look_found_and_when():
    seen = []

    class Looking(AllRecords):
        def __call__(self, epoch, standing, seed):
            seen.append([getattr(standing, each.name).tolist() for each in fields(standing)])
            return torch.tensor([0]) if epoch else super().__call__(epoch, standing, seed)

    found = losses(0.75, 0.25, 0.75, 0.75, 0.75)
    hooks, _ = looking_and_verifying([found], verified=True)
    run(Script(lambda visit: 0.9), hooks=hooks, schedule=Looking(), epochs=2)
    assert seen[1] == [pytest.approx([0.75, 0.25, 0.75, 0.75, 0.75]), [0, 1, 0, 0, 0], [0, 0, 0, 0, 0]]


def test_looks_are_made_while_a_full_pass_waits():
    hooks, asked = looking_and_verifying([losses(*[0.9] * 5)], verified=False)
    run(Script(lambda visit: 0.9), hooks=hooks, epochs=4)
    assert asked == {"looks": 4, "passes": 3}


def test_looks_that_find_a_slipped_record_do_not_put_the_full_pass_off():
    slipped, known = losses(0.9, 0.4, 0.9, 0.9, 0.9), losses(*[0.9] * 5)
    hooks, _ = looking_and_verifying([slipped, slipped, slipped, known], verified=True)
    result = run(Script(lambda visit: 0.9), hooks=hooks, epochs=9)
    assert (result.stop_reason, result.num_epochs) == ("certified", 4)


def test_full_passes_that_fail_are_made_ever_more_seldom():
    made = []
    script = Script(lambda visit: 0.9)
    run(script, epochs=20, hooks=Hooks(verify=lambda adapter: bool(made.append(max(script.visits)))))
    assert made == [1, 2, 4, 8, 16]


def test_a_plateau_ends_a_run():
    result = run(Script(lambda visit: 0.1), epochs=50, plateau_epochs=4)
    assert (result.stop_reason, result.num_epochs) == ("plateau", 5)


def test_without_a_patience_it_is_half_of_the_budget():
    result = run(Script(lambda visit: 0.1), epochs=30)
    assert (result.stop_reason, result.num_epochs) == ("plateau", 16)


def test_without_a_stubborn_token_there_is_no_plateau():
    assert run(Script(lambda visit: 0.55), wanted=0.6, epochs=30, plateau_epochs=2).stop_reason == "budget"


def test_epochs_before_every_record_was_seen_are_no_part_of_a_plateau():
    class Growing(AllRecords):
        def __call__(self, epoch, standing, seed):
            return torch.arange(min(1 + epoch // 4, NUM_RECORDS))

    result = run(Script(lambda visit: 0.1), schedule=Growing(), epochs=50, plateau_epochs=3)
    assert (result.stop_reason, result.num_epochs) == ("plateau", 20)  # all are visited from the 17th on


class OneByOne(AllRecords):
    """All records, then a single one an epoch."""

    def __call__(self, epoch, standing, seed):
        return torch.tensor([epoch % NUM_RECORDS]) if epoch else super().__call__(epoch, standing, seed)


def test_epochs_that_visit_some_records_only_are_part_of_a_plateau_by_what_is_known_of_the_others():
    result = run(Script(lambda visit: 0.1), schedule=OneByOne(), epochs=50, plateau_epochs=3)
    assert (result.stop_reason, result.num_epochs) == ("plateau", 1 + 3 * NUM_RECORDS)


def test_epochs_that_visit_some_records_only_spend_less_of_the_budget():
    script, events = Script(), []
    result = run(script, schedule=OneByOne(), epochs=3, plateau_epochs=9, hooks=Hooks(on_epoch=events.append))
    assert (result.stop_reason, result.num_epochs) == ("budget", 1 + 2 * NUM_RECORDS)
    assert [event.spent_visits for event in events] == list(range(NUM_RECORDS, 3 * NUM_RECORDS + 1))
    assert {event.budget_visits for event in events} == {3 * NUM_RECORDS}


def test_records_that_were_not_shown_yet_are_charged_to_the_budget():
    class Growing(AllRecords):
        def __call__(self, epoch, standing, seed):
            return torch.arange(min(1 + epoch, NUM_RECORDS))

    events = []
    result = run(Script(), schedule=Growing(), epochs=8, plateau_epochs=9, hooks=Hooks(on_epoch=events.append))
    assert (result.stop_reason, result.num_epochs) == ("budget", 8)
    assert [event.spent_visits for event in events] == [NUM_RECORDS * epoch for epoch in range(1, 9)]


def test_a_record_that_is_learnt_begins_the_wait_anew_whoever_rests():
    """One record is learnt in every round of five visits, and the patience is of ten."""
    script = Script()
    script.p = lambda visit: 0.9 if visit > script.taken[-1][0][0] else 0.1
    settings = {"batch_size": 1, "wanted": 0.99, "epochs": 30, "plateau_epochs": 2}
    assert run(script, schedule=OneByOne(), **settings).stop_reason == "budget"


def test_the_rate_falls_with_the_records_visited():
    script = Script()
    settings = {"learning_rate": 1.0, "decay": "linear", "decay_share": 1.0, "floor_share": 0.0}
    run(script, schedule=OneByOne(), epochs=10, batch_size=NUM_RECORDS, plateau_epochs=99, **settings)
    assert script.rates == pytest.approx([1.0, *(1 - (1 + i / 5) / 10 for i in range(45))])


def test_batches_hold_records_of_similar_length():
    script = Script(num_records=40, lengths=list(range(40)))
    run(script, epochs=1, batch_size=5)
    spans = [max(indices) - min(indices) for indices, _, _ in script.taken]
    assert spans == [4] * 8


def test_the_order_is_of_the_records_that_a_schedule_names_not_of_how_it_names_them():
    class Backwards(AllRecords):
        def __call__(self, epoch, standing, seed):
            return super().__call__(epoch, standing, seed).flip(0)

    forwards, backwards = Script(), Script()
    run(forwards)
    run(backwards, schedule=Backwards())
    assert forwards.taken == backwards.taken


def test_every_epoch_visits_the_schedules_records_once_in_batches():
    class Odd:
        def __call__(self, epoch, standing, seed):
            return torch.tensor([1, 3]) if epoch else torch.arange(5)

    script = Script()
    run(script, schedule=Odd(), epochs=2)
    steps = [sorted(indices) for indices, _, _ in script.taken]
    assert [len(step) for step in steps] == [2, 2, 1, 2, 2, 2]
    assert sorted(index for step in steps[:3] for index in step) == [0, 1, 2, 3, 4]
    assert steps[3:] == 3 * [[1, 3]]


def test_accumulation_gives_a_step_its_batches():
    script = Script()
    run(script, epochs=1, batch_size=2, accumulation=2)
    assert [len(indices) for indices, _, _ in script.taken] == [4, 1]


def order(seed: int) -> list[list[int]]:
    script = Script(num_records=20)
    run(script, seed=seed, epochs=2, batch_size=20)
    return [indices for indices, _, _ in script.taken]


def test_the_seed_decides_the_order_and_each_epoch_has_its_own():
    random.seed(0)
    first = order(1)
    random.seed(1)
    assert order(1) == first
    assert order(2) != first
    assert first[0] != first[1]


def test_every_step_has_a_seed_of_its_own():
    first, second = Script(), Script()
    run(first, seed=1)
    run(second, seed=2)
    seeds = [seed for script in (first, second) for _, _, seed in script.taken]
    assert len(set(seeds)) == len(seeds)


def test_the_adapter_trains_in_the_run_and_not_after_it():
    script = Script()
    run(script)
    assert all(script.was_training)
    assert not script.adapter.training


def test_the_schedule_sees_how_each_record_stood_and_when():
    seen = []

    class Looking(AllRecords):
        def __call__(self, epoch, standing, seed):
            seen.append((standing.min_probability_N.clone(), standing.last_seen_N.clone()))
            return torch.tensor([0, 2]) if epoch == 1 else super().__call__(epoch, standing, seed)

    run(Script(lambda visit: 0.2 + 0.1 * visit), schedule=Looking(), epochs=3)
    assert seen[0][1].tolist() == [-1] * 5
    assert seen[1][0].tolist() == pytest.approx([0.2] * 5)
    assert seen[2][0].tolist() == pytest.approx([0.3, 0.2, 0.3, 0.2, 0.2])
    assert seen[2][1].tolist() == [1, 0, 1, 0, 0]


def test_an_event_tells_the_epoch():
    events = []
    script = Script(lambda visit: 0.4 if visit == 0 else 0.8)
    settings = {"learning_rate": 0.6, "decay": "linear", "decay_share": 1.0, "floor_share": 0.0}
    run(script, epochs=2, hooks=Hooks(on_epoch=events.append), **settings)
    first, second = events
    assert (first.epoch, second.epoch) == (1, 2)
    assert (first.spent_visits, second.spent_visits, first.budget_visits) == (5, 10, 10)
    assert (first.num_stubborn_tokens, second.num_stubborn_tokens) == (5, 0)
    assert (first.num_certified_records, second.num_certified_records) == (0, 5)
    assert (first.num_visited_records, first.num_records) == (5, 5)
    assert first.nll_nats == pytest.approx(-math.log(0.4))
    assert first.objective == pytest.approx(0.5)
    assert first.learning_rate == pytest.approx(0.4)
    assert second.learning_rate == pytest.approx(0.1)
    assert second.train_seconds == pytest.approx(first.seconds + second.seconds)


def test_an_interrupted_run_stops_after_the_step_at_a_checkpoint(tmp_path):
    script, path = Script(), tmp_path / "checkpoint.safetensors"
    hooks = Hooks(interrupted=lambda: len(script.taken) == 4, checkpoint=path)
    with pytest.raises(InterruptedRunError, match=r"stopped in epoch 2$"):
        run(script, hooks=hooks, checkpoint_seconds=1e6)
    assert len(script.taken) == 4
    assert not script.adapter.training
    again = Script()
    run(again, hooks=Hooks(checkpoint=path))
    whole = Script()
    run(whole)
    assert script.taken + again.taken == whole.taken


@pytest.mark.parametrize("stop", range(1, 13))
@pytest.mark.parametrize("schedule", [AllRecords(), ActiveSet(0.5, rest_epochs=1)], ids=["all", "active"])
def test_a_run_goes_on_at_the_very_step_and_tells_the_same(tmp_path, schedule, stop):
    def fresh() -> Script:
        return Script(lambda visit: 0.3 + 0.1 * visit)

    def told(events) -> list[tuple[float, ...]]:
        return [(e.epoch, e.learning_rate, e.nll_nats, e.num_stubborn_tokens, e.num_certified_records) for e in events]

    settings = {"epochs": 7, "checkpoint_seconds": 0, "plateau_epochs": 9, "schedule": schedule}
    whole, whole_events = fresh(), []
    run(whole, hooks=Hooks(on_epoch=whole_events.append), **settings)
    first, events, path = fresh(), [], tmp_path / "checkpoint.safetensors"
    hooks = Hooks(interrupted=lambda: len(first.taken) == stop, on_epoch=events.append, checkpoint=path)
    with pytest.raises(InterruptedRunError):
        run(first, hooks=hooks, **settings)
    second = fresh()
    second.visits = first.visits
    run(second, hooks=Hooks(on_epoch=events.append, checkpoint=path), **settings)
    assert first.taken + second.taken == whole.taken
    assert told(events) == told(whole_events)


def test_a_verification_that_failed_is_remembered_by_the_checkpoint(tmp_path):
    path, made = tmp_path / "checkpoint.safetensors", []
    first = Script(lambda visit: 0.9)
    hooks = Hooks(
        verify=lambda adapter: bool(made.append(first.visits[0])),
        interrupted=lambda: first.visits[0] == 5 and sum(first.visits) == 25,
        checkpoint=path,
    )
    with pytest.raises(InterruptedRunError):
        run(first, epochs=12, hooks=hooks)
    second = Script(lambda visit: 0.9)
    second.visits = first.visits
    hooks = Hooks(verify=lambda adapter: bool(made.append(second.visits[0])), checkpoint=path)
    run(second, epochs=12, hooks=hooks)
    assert made == [1, 2, 4, 8]


class Moving(Script):
    """Writes into the adapter after how many steps it has these weights."""

    def step(self, *arguments, **named):
        with torch.no_grad():
            self.adapter.lora_A[0] += 1
        return super().step(*arguments, **named)

    def fresh(self):
        with torch.no_grad():
            self.adapter.lora_A[0].zero_()
        return self

    def steps(self, adapter=None) -> int:
        return int((adapter or self.adapter).lora_A[0][0, 0])


@pytest.mark.parametrize(("settings", "reason"), [({}, "budget"), ({"plateau_epochs": 8}, "plateau")])
def test_a_run_that_is_not_certified_keeps_the_best_weights(settings, reason):
    script = Moving(lambda visit: 0.6 if visit == 4 else 0.1).fresh()
    hooks = Hooks(look=lambda adapter: with_stubborn(int(script.steps(adapter) != 5)))
    result = run(script, epochs=15, batch_size=NUM_RECORDS, hooks=hooks, **{"plateau_epochs": 99, **settings})
    assert (result.stop_reason, result.weights_epoch, script.steps()) == (reason, 5, 5)
    assert result.num_epochs > 5


def test_a_run_may_be_left_where_it_came_to_rest_and_then_spares_the_looks_for_the_best():
    script, looks = Moving(lambda visit: 0.6 if visit == 4 else 0.1).fresh(), []
    hooks = Hooks(look=lambda adapter: looks.append(1) or with_stubborn(int(script.steps(adapter) != 5)))
    result = run(script, epochs=15, batch_size=NUM_RECORDS, hooks=hooks, plateau_epochs=99, keep="last")
    assert (result.stop_reason, result.weights_epoch, script.steps()) == ("budget", 15, 15)
    assert not looks


def test_a_certified_run_keeps_the_weights_that_the_full_pass_agreed_to():
    script, passes = Moving(lambda visit: 0.9).fresh(), []
    hooks = Hooks(verify=lambda adapter: passes.append(1) or len(passes) == 5, look=lambda adapter: losses(*[0.9] * 5))
    result = run(script, epochs=30, batch_size=NUM_RECORDS, hooks=hooks)
    assert (result.stop_reason, result.weights_epoch, script.steps()) == ("certified", 16, 16)


def test_without_looks_the_last_weights_stay():
    script = Moving().fresh()
    result = run(script, epochs=15, batch_size=NUM_RECORDS, plateau_epochs=99)
    assert (result.weights_epoch, script.steps()) == (15, 15)


@pytest.mark.parametrize("stop", range(1, 15))
def test_a_run_that_goes_on_makes_the_same_looks_and_keeps_the_same_weights(tmp_path, stop):
    looked, path = [], tmp_path / "checkpoint.safetensors"

    def look(script):
        return lambda adapter: looked.append(script.steps(adapter)) or with_stubborn(5 * looked[-1] % 13)

    settings = {"epochs": 15, "batch_size": NUM_RECORDS, "plateau_epochs": 99, "checkpoint_seconds": 0}
    whole = Moving(lambda visit: [0.1, 0.6, 0.2][visit % 3]).fresh()
    expected = run(whole, hooks=Hooks(look=look(whole)), **settings).weights_epoch
    looks_of_whole = looked.copy()
    looked.clear()
    first = Moving(whole.p).fresh()
    hooks = Hooks(look=look(first), interrupted=lambda: len(first.taken) == stop, checkpoint=path)
    with pytest.raises(InterruptedRunError):
        run(first, hooks=hooks, **settings)
    second = Moving(whole.p)
    second.visits = first.visits
    result = run(second, hooks=Hooks(look=look(second), checkpoint=path), **settings)
    assert looked == looks_of_whole
    assert (result.weights_epoch, second.steps()) == (expected, expected)
    assert expected < 15


def test_the_seconds_of_all_starts_are_counted(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    for seconds in (100, 200):
        script = Script()
        hooks = Hooks(
            interrupted=lambda script=script: len(script.taken) == 1,
            checkpoint=path,
            started=time.monotonic() - seconds,
        )
        with pytest.raises(InterruptedRunError):
            run(script, hooks=hooks)
    assert run(Script(), hooks=Hooks(checkpoint=path)).earlier_seconds == pytest.approx(300, abs=60)


def test_a_run_that_was_never_stopped_has_no_earlier_seconds(tmp_path):
    hooks = Hooks(checkpoint=tmp_path / "checkpoint.safetensors", started=time.monotonic() - 100)
    assert run(Script(), hooks=hooks, checkpoint_seconds=0).earlier_seconds == 0


def test_the_random_numbers_of_others_are_left_alone():
    class Drawing(Script):
        def step(self, *arguments, **named):
            torch.manual_seed(1)
            return super().step(*arguments, **named)

    script = Drawing()
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    run(script)
    assert torch.equal(torch.rand(2), expected)


@pytest.fixture
def growing(monkeypatch):
    """Lets scripts grow; the seeds that they were given."""
    seeds = []

    def grown(script, adapter, lora_rank, seed):
        seeds.append(seed)
        larger = copy.copy(script)  # the same list of steps taken
        larger.adapter = adapter.grown(lora_rank, seed)
        larger.optimizer = torch.optim.AdamW(larger.adapter.parameters())
        return larger

    monkeypatch.setattr("byheart.learning.loop.grown", grown)
    monkeypatch.setattr("byheart.learning.growth.grown", grown)
    return seeds


SLIPPED = losses(0.9, 0.9, 0.1, 0.9, 0.9)


def test_what_the_optimizer_knew_of_the_smaller_adapter_is_let_go_of_when_it_has_grown(growing):
    script = Script()
    script.optimizer.state[script.adapter.lora_A[0]] = {"exp_avg": torch.ones(1)}
    run(script, hooks=Hooks(look=lambda adapter: SLIPPED), epochs=6, plateau_epochs=99, max_growths=1)
    assert not script.optimizer.state


@pytest.mark.parametrize(("patience", "reason"), [(99, "budget"), (2, "plateau")])
def test_an_adapter_grows_where_the_run_would_end_with_records_uncertified(growing, patience, reason):
    said, events = [], []
    hooks = Hooks(look=lambda adapter: SLIPPED, on_epoch=events.append, say=said.append)
    result = run(Script(), hooks=hooks, epochs=6, plateau_epochs=patience, max_growths=2)
    lap = {"budget": 6, "plateau": 3}[reason]
    assert (result.stop_reason, result.num_epochs) == (reason, 3 * lap)
    assert result.growths == (Growth(lap, 3, 6), Growth(2 * lap, 6, 12))
    assert [event.lora_rank for event in events] == [3] * lap + [6] * lap + [12] * lap
    assert result.adapter.placement.lora_rank == 12
    assert said[0].endswith(f"epoch {lap}: 4 of 5 above 0.5; the adapter grows from rank 3 to 6")
    assert [event.epoch for event in events] == list(range(1, 3 * lap + 1))


def test_the_budget_and_the_rate_begin_anew_with_a_growth(growing):
    events = []
    settings = {"epochs": 4, "batch_size": NUM_RECORDS, "plateau_epochs": 99, "learning_rate": 1.0}
    script = Script()
    hooks = Hooks(look=lambda adapter: SLIPPED, on_epoch=events.append)
    run(script, hooks=hooks, max_growths=1, growth_rate_share=0.5, decay="linear", decay_share=1.0, **settings)
    assert script.rates == pytest.approx([1.0, 0.75, 0.5, 0.25, 0.5, 0.375, 0.25, 0.125])
    assert [event.spent_visits for event in events] == 2 * [5, 10, 15, 20]


def test_every_growth_has_a_seed_of_its_own(growing):
    for seed in (1, 2):
        run(Script(), seed=seed, hooks=Hooks(look=lambda adapter: SLIPPED), max_growths=3)
    assert len(set(growing)) == len(growing) == 6


@pytest.mark.parametrize(
    ("hooks", "max_growths"),
    [
        (Hooks(look=lambda adapter: SLIPPED), 0),
        (Hooks(look=lambda adapter: losses(*[0.51] * 5)), 3),
        (Hooks(), 3),
        (Hooks(look=lambda adapter: losses(*[0.9] * 5), verify=lambda adapter: True), 3),
    ],
    ids=["not to grow", "all above one half", "no look", "certified"],
)
def test_an_adapter_does_not_grow(growing, hooks, max_growths):
    result = run(Script(lambda visit: 0.9), wanted=0.6, hooks=hooks, max_growths=max_growths)
    assert (result.growths, growing) == ((), [])
    assert result.num_epochs <= 4


def test_a_grown_adapter_begins_with_the_best_weights_and_ends_with_none_worse(growing):
    def look(adapter):
        return with_stubborn(1 if Moving.steps(script, adapter) == 5 else 2)

    script = Moving(lambda visit: 0.6 if visit == 4 else 0.1).fresh()
    settings = {"epochs": 15, "batch_size": NUM_RECORDS, "plateau_epochs": 99}
    begun_with = []
    hooks = Hooks(look=look, say=lambda sentence: begun_with.append(script.steps()))
    result = run(script, hooks=hooks, max_growths=1, **settings)
    assert begun_with == [5]
    assert (result.num_epochs, result.weights_epoch, script.steps(result.adapter)) == (30, 5, 5)
    assert result.adapter.placement.lora_rank == 6


@pytest.mark.parametrize("stop", range(1, 18, 2))
def test_a_run_that_grows_goes_on_at_the_very_step(growing, tmp_path, stop):
    def look(adapter):
        return with_stubborn(1 + 5 * int(adapter.lora_A[0][0, 0]) % 13)

    path, said, settings = tmp_path / "checkpoint.safetensors", [], {"epochs": 6, "plateau_epochs": 99}
    settings |= {"batch_size": NUM_RECORDS, "max_growths": 2}
    whole = Moving(lambda visit: [0.1, 0.6, 0.2][visit % 3]).fresh()
    expected = run(whole, hooks=Hooks(look=look), **settings)
    first = Moving(whole.p).fresh()
    hooks = Hooks(look=look, interrupted=lambda: len(first.taken) == stop, checkpoint=path, say=said.append)
    with pytest.raises(InterruptedRunError):
        run(first, hooks=hooks, **settings, checkpoint_seconds=0)
    second = Moving(whole.p)
    second.visits = first.visits
    result = run(second, hooks=Hooks(look=look, checkpoint=path, say=said.append), **settings)
    assert first.taken + second.taken == whole.taken
    assert result.growths == expected.growths
    assert result.weights_epoch == expected.weights_epoch
    assert result.adapter.sha256(torch.float32) == expected.adapter.sha256(torch.float32)
    assert len(said) == 2


def test_the_real_engine_learns(make_stepper, tiny_base):
    placement = placed(tiny_base.model, "top:1", rank=16)
    stepper = make_stepper(own=Adapter.initialised(placement, torch.device("cpu"), 1))
    config = LearnConfig(epochs=80, learning_rate=0.02)
    events = []
    learn(stepper, AllRecords(), config, wanted_probability=0.5, seed=1, hooks=Hooks(on_epoch=events.append))
    assert events[-1].num_certified_records == 4


def test_the_card_of_an_adapter_keeps_its_random_numbers_too(monkeypatch):
    forked = []
    fork_rng = torch.random.fork_rng

    def looking(devices):
        forked.append(devices)
        return fork_rng(devices=[])

    class OnCard(torch.nn.Module):
        placement = Script().adapter.placement

        def parameters(self, recurse: bool = True):  # pyright: ignore[reportIncompatibleMethodOverride]
            return iter([type("Parameter", (), {"device": torch.device("cuda", 0)})])

    script = Script()
    run(script)
    script.adapter = OnCard()  # type: ignore[assignment]
    monkeypatch.setattr(torch.random, "fork_rng", looking)
    run(script, epochs=1)
    assert forked == [[torch.device("cuda", 0)]]


def glancing(glances, looks, verified=True):
    """Hooks whose glances and looks tell these, the last for good; and what was asked, in order."""
    asked = []

    def telling(kind, found):
        def tell(adapter, seed=None):
            asked.append(kind)
            return found[min(asked.count(kind), len(found)) - 1]

        return tell

    def verify(adapter):
        asked.append("pass")
        return verified

    return Hooks(glance=telling("glance", glances), look=telling("look", looks), verify=verify), asked


def test_the_first_look_is_no_glance_and_later_ones_are_confirmed():
    known, slipped = losses(*[0.9] * 5), losses(0.9, 0.9, 0.4, 0.9, 0.9)
    hooks, asked = glancing([slipped, known], [slipped, known])
    result = run(Script(lambda visit: 0.9), hooks=hooks, epochs=9)
    assert asked == ["look", "glance", "glance", "look", "pass"]
    assert result.stop_reason == "certified"


def test_nearly_all_known_is_worth_a_look_as_the_mean_may_know_all():
    script = Script(lambda visit: 0.9, num_records=20)
    script.p = lambda visit: 0.4 if script.taken[-1][0] == [7] else 0.9
    hooks, asked = looking_and_verifying([losses(*[0.9] * 20)], verified=True)
    assert run(script, hooks=hooks, epochs=3, batch_size=1).stop_reason == "certified"
    assert asked == {"looks": 1, "passes": 1}


def test_looks_while_some_are_not_known_are_spaced_by_visits():
    script = Script(lambda visit: 0.9, num_records=20)
    script.p = lambda visit: 0.4 if script.taken[-1][0] == [7] else 0.9
    hooks, asked = looking_and_verifying([losses(*[0.9] * 19, 0.4)], verified=True)

    def only_one(epoch, standing, seed):
        return torch.arange(20) if epoch == 0 else torch.tensor([7])

    run(script, hooks=hooks, epochs=2, batch_size=1, schedule=only_one, plateau_epochs=99)
    assert asked == {"looks": 5, "passes": 0}  # after the first epoch, and after every fifth visit


def test_words_that_looks_find_join_the_shortlist_and_are_remembered(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    script, found = Script(lambda visit: 0.9), replace(losses(*[0.4] * 5), rivals=(7, 3))
    script.vocabulary = Vocabulary(torch.tensor([1]), 90, num_sampled=5)
    hooks = Hooks(look=lambda adapter: found, verify=lambda adapter: True, checkpoint=path)
    run(script, hooks=hooks, epochs=2, checkpoint_seconds=0)
    assert script.vocabulary and script.vocabulary.likely.tolist() == [1, 3, 7]
    again = Script(lambda visit: 0.9)
    again.vocabulary = Vocabulary(torch.tensor([1]), 90, num_sampled=5)
    run(again, hooks=hooks, epochs=3)
    assert again.vocabulary and again.vocabulary.likely.tolist() == [1, 3, 7]


def test_every_glance_draws_another_sample():
    seeds, slipped = [], losses(0.9, 0.9, 0.4, 0.9, 0.9)
    hooks = Hooks(
        look=lambda adapter: slipped, glance=lambda adapter, seed: seeds.append(seed) or slipped, verify=lambda _: True
    )
    run(Script(lambda visit: 0.9), hooks=hooks, epochs=5, plateau_epochs=99)
    assert len(seeds) == len(set(seeds)) == 4


def test_records_that_no_epoch_has_shown_are_not_taken_for_seen_by_a_look():
    script = Script(lambda visit: 0.9, num_records=20)
    hooks, asked = looking_and_verifying([losses(*[0.9] * 20)], verified=True)
    result = run(script, hooks=hooks, epochs=3, batch_size=1, schedule=lambda *_: torch.arange(19))
    assert asked == {"looks": 0, "passes": 0}
    assert (result.stop_reason, result.num_epochs) == ("budget", 3)


def test_a_checkpoint_that_takes_long_to_write_is_not_followed_by_the_next_at_once(tmp_path, monkeypatch):
    now, written = [0.0], []

    def slow(*arguments):
        written.append(now[0])
        now[0] += 30

    monkeypatch.setattr(run_module, "save_checkpoint", slow)
    monkeypatch.setattr(run_module.time, "monotonic", lambda: now[0])

    class Steady(Script):
        """Ten seconds a step."""

        def step(self, indices, learning_rate, state, seed):
            now[0] += 10
            return super().step(indices, learning_rate, state, seed)

    script = Steady()
    hooks = Hooks(checkpoint=tmp_path / "checkpoint.safetensors", started=0.0)
    run(script, hooks=hooks, epochs=20, checkpoint_seconds=20, plateau_epochs=99)
    assert len(script.taken) == 60
    # Every 9 · 30 s, not every 20 s.
    assert [b - a for a, b in itertools.pairwise(written)] == [300, 300]
