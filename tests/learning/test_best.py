import pytest
import torch

from byheart.learning.best import Best, Look
from byheart.learning.evaluate import RecordLosses
from byheart.learning.events import EpochEvent
from models_for_tests import awake, placed, small


class Run:
    """Epochs whose end is written into the adapter's weights, so that a look can tell whose weights it sees."""

    def __init__(self, hints=lambda epoch: (0, 9), looks=lambda epoch: (0, 9)):
        self.hints, self.looks = hints, looks
        self.adapter = awake(placed(small("llama"), "1", "o_proj"))
        self.best = Best()
        self.looked_at: list[int] = []

    def looking(self, adapter) -> RecordLosses:
        self.looked_at.append(self.epoch_of(adapter))
        num_certified, num_stubborn = self.looks(self.looked_at[-1])
        num_stubborn_N = torch.tensor([0] * num_certified + [num_stubborn] + [1] * (9 - num_certified))
        return RecordLosses(torch.zeros(10), torch.zeros(10), num_stubborn_N)

    def epoch_of(self, adapter) -> int:
        return int(adapter.lora_A[0][0, 0])

    def go(self, num_epochs: int, first: int = 1, visited: int = 3) -> int:
        """Runs to the end of the budget; the epoch that the weights are of."""
        for epoch in range(first, num_epochs + 1):
            with torch.no_grad():
                self.adapter.lora_A[0].fill_(epoch)
            if epoch < num_epochs:
                self.best.take_in(self.event(epoch, visited), self.adapter, self.looking)
        return self.best.settle(self.event(num_epochs, visited), self.adapter, self.looking)

    def event(self, epoch: int, visited: int) -> EpochEvent:
        num_certified, num_stubborn = self.hints(epoch)
        return EpochEvent(epoch, 3 * epoch, 297, 8, 0.1, 0.1, 0.1, visited, num_stubborn, num_certified, 3, 0.1, 0.1)


def test_a_record_with_one_stubborn_token_is_not_certified():
    losses = RecordLosses(torch.zeros(4), torch.zeros(4), torch.tensor([0, 1, 0, 3]))
    assert Look.of(losses) == Look(2, 4)


def test_more_records_are_better_whatever_the_tokens_and_then_fewer_stubborn_ones():
    worst_first = [Look(1, 0), Look(2, 9), Look(2, 8), Look(3, 50)]
    best_first = worst_first[::-1]
    assert sorted(best_first, key=lambda look: look.merit) == worst_first


def test_the_best_weights_that_a_look_found_are_put_back():
    run = Run(hints=lambda epoch: (epoch == 4, 9), looks=lambda epoch: (2, 5) if epoch == 4 else (2, 6))
    assert run.go(25) == 4
    assert run.epoch_of(run.adapter) == 4
    assert run.looked_at[0] == 4


def test_weights_are_put_back_to_the_last_bit():
    run = Run(hints=lambda epoch: (epoch == 4, 9), looks=lambda epoch: (epoch == 4, 5))
    before = [parameter.clone() for parameter in run.adapter.parameters()]
    run.go(12)
    after = list(run.adapter.parameters())
    assert all(torch.equal(a, b) for a, b in zip(before[1:], after[1:], strict=True))


@pytest.mark.parametrize("last", [(2, 5), (2, 4), (3, 9)])
def test_the_last_weights_stay_where_they_are_as_good(last):
    run = Run(hints=lambda epoch: (epoch == 4, 9), looks=lambda epoch: (2, 5) if epoch == 4 else last)
    assert run.go(10) == 10
    assert run.epoch_of(run.adapter) == 10


def test_what_training_saw_alone_is_never_believed():
    run = Run(hints=lambda epoch: (3, 0) if epoch == 4 else (0, 9), looks=lambda epoch: (1 if epoch == 4 else 2, 9))
    assert run.go(10) == 10


def test_of_every_window_the_one_that_seemed_best_is_looked_at_and_of_equals_the_later():
    hints = {3: (1, 7), 5: (2, 8), 6: (2, 8), 7: (2, 9), 14: (0, 8), 27: (0, 3)}
    run = Run(hints=lambda epoch: hints.get(epoch, (0, 9)))
    run.go(30)
    assert run.looked_at == [6, 14, 27, 30]


def test_of_equal_looks_the_later_is_kept():
    run = Run(looks=lambda epoch: (1, 5) if epoch < 40 else (0, 5))
    assert run.go(40) == 39


def test_looks_are_counted_in_visits_so_that_small_epochs_cost_no_more():
    whole, thirds = Run(), Run()
    whole.go(40)
    thirds.go(120, visited=1)
    assert [3 * epoch for epoch in whole.looked_at] == pytest.approx(thirds.looked_at, abs=3)


@pytest.mark.parametrize(("num_epochs", "num_looks"), [(1, 0), (5, 0), (6, 2), (11, 2), (24, 4), (60, 7), (600, 61)])
def test_there_is_a_look_a_window_and_at_most_two_at_the_end(num_epochs, num_looks):
    run = Run()
    run.go(num_epochs)
    assert len(run.looked_at) == num_looks


@pytest.mark.parametrize("stop", [1, 9, 10, 14, 24])
def test_it_goes_on_from_plain_values_and_tensors(stop):
    def fresh() -> Run:
        return Run(hints=lambda epoch: (0, epoch * 7 % 5), looks=lambda epoch: (0, epoch * 3 % 11))

    whole, first, second = fresh(), fresh(), fresh()
    expected = whole.go(25)
    for epoch in range(1, stop + 1):
        with torch.no_grad():
            first.adapter.lora_A[0].fill_(epoch)
        first.best.take_in(first.event(epoch, 3), first.adapter, first.looking)
    others = {"weight.lora_A.0": torch.zeros(1)}
    second.best = Best.restored(first.best.plain(), first.best.tensors() | others)
    assert second.go(25, first=stop + 1) == expected
    assert first.looked_at + second.looked_at == whole.looked_at
    assert second.epoch_of(second.adapter) == expected
