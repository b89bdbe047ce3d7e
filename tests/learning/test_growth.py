import pytest
import torch

from byheart.learning.best import Look
from byheart.learning.evaluate import RecordLosses, record_losses
from byheart.learning.events import Growth
from byheart.learning.footprint import measured
from byheart.learning.growth import begun_anew, grown, next_growth, resumed, sentence
from byheart.learning.state import Progress, save_checkpoint
from byheart.learning.stopping import Plateau, Verification
from byheart.method.schedule import Standing
from byheart.model.adapter import attached

FOUND = RecordLosses(torch.ones(4), torch.tensor([0.1, 2.0, 0.2, 0.3]), torch.tensor([0, 3, 0, 0]))


def stepped(make_stepper, steps: int = 3):
    stepper = make_stepper(learning_rate=0.01)
    for step in range(steps):
        stepper.step([step % 4, (step + 1) % 4], 0.01, {}, seed=step)
    return stepper


@pytest.mark.parametrize(
    ("rank", "larger"), [(8, 16), (16, 32), (32, 64), (64, 128), (128, 256), (256, 512), (320, 512)]
)
def test_an_adapter_grows_to_twice_its_rank_and_no_further_than_engines_take(rank, larger):
    assert next_growth(7, rank) == Growth(7, rank, larger)


def test_at_the_bound_there_is_no_growth():
    assert next_growth(7, 512) is None


def test_what_grows_and_why_is_told():
    told = sentence("plateau", Growth(40, 8, 16), Look(97, 5), 100)
    assert told == "plateau at epoch 40: 97 of 100 above 0.5; the adapter grows from rank 8 to 16"
    assert sentence("budget", Growth(60, 16, 32), Look(97, 5), 1000).startswith(
        "the budget ends with epoch 60: 97 of 1,000"
    )


def test_no_record_is_known_better_or_worse_the_moment_an_adapter_grows(
    make_stepper, split_model, activations, tiny_base
):
    stepper = stepped(make_stepper)
    larger = grown(stepper, stepper.adapter, 8, seed=1)
    seen = []
    for each in (stepper, larger):
        with attached(tiny_base.model, each.adapter):
            seen.append(record_losses(split_model, activations).sum_N)
    torch.testing.assert_close(seen[1], seen[0], rtol=1e-6, atol=1e-6)  # fp32: only the order of sums may differ


def test_what_the_optimizer_knows_of_the_old_weights_is_kept_and_of_the_new_is_nothing(make_stepper):
    stepper = stepped(make_stepper)
    larger = grown(stepper, stepper.adapter, 8, seed=1)
    for old, new in zip(stepper.parameters, larger.parameters, strict=True):
        mine, theirs = stepper.optimizer.state[old], larger.optimizer.state[new]
        assert theirs["step"] == mine["step"] == 3
        for key in ("exp_avg", "exp_avg_sq"):
            rows, columns = old.shape
            assert theirs[key].shape == new.shape
            assert torch.equal(theirs[key][:rows, :columns], mine[key])
            assert theirs[key].count_nonzero() == mine[key].count_nonzero() > 0


def test_what_a_pass_keeps_is_counted_anew_and_its_tokens_are_charged_as_before(make_stepper):
    stepper = make_stepper()
    parts = stepper.split_model, stepper.activations
    before = stepper.footprint = measured(parts[0], stepper.adapter, parts[1], num_words=97)
    larger = grown(stepper, stepper.adapter, 64, seed=1)
    after = measured(parts[0], larger.adapter, parts[1], num_words=97)
    assert larger.footprint == after != before
    assert after.row_bytes > before.row_bytes


def test_an_adapter_that_took_no_step_grows_without_moments(make_stepper):
    stepper = make_stepper()
    assert not grown(stepper, stepper.adapter, 8, seed=1).optimizer.state


def test_the_larger_adapter_learns_on_and_the_smaller_stays(make_stepper):
    stepper = stepped(make_stepper)
    before = stepper.adapter.sha256(torch.float32)
    larger = grown(stepper, stepper.adapter, 8, seed=1)
    for step in range(2):
        larger.step([0, 1], 0.01, {}, seed=step)
    assert stepper.adapter.sha256(torch.float32) == before
    assert all(lora_B[:, 4:].any() for lora_B in larger.adapter.lora_B)


def test_learning_begins_anew_from_what_was_found(make_stepper):
    stepper, growth = make_stepper(), Growth(6, 2, 4)
    before = Progress(
        Standing.unseen(4),
        epoch=6,
        num_steps=12,
        num_visits=24,
        weighting_state={"a": {"anchor": 1.0}},
        train_seconds=1.5,
        plateau=Plateau(3, 4),
        verification=Verification(8, 9),
        growths=[Growth(3, 1, 2)],
    )
    progress = begun_anew(before, growth, stepper, FOUND, weights_epoch=5)
    assert (progress.epoch, progress.num_steps, progress.num_visits, progress.train_seconds) == (6, 12, 0, 1.5)
    assert (progress.plateau, progress.verification) == (Plateau(), Verification())
    assert progress.weighting_state == before.weighting_state
    assert progress.growths == [Growth(3, 1, 2), growth]
    assert torch.equal(progress.standing.min_probability_N, (-FOUND.worst_N).exp())
    assert progress.standing.last_seen_N.tolist() == [5] * 4


def test_the_best_weights_so_far_are_those_that_it_begins_with(make_stepper):
    stepper = make_stepper()
    best = begun_anew(Progress(Standing.unseen(4)), Growth(6, 2, 4), stepper, FOUND, weights_epoch=5).best
    assert best.best and best.candidate is None
    assert (best.best.epoch, best.best.look) == (5, Look(3, 3))
    assert best.best.tensors.keys() == stepper.adapter.tensors(torch.float32).keys()


def test_a_checkpoint_of_a_grown_adapter_is_gone_on_from(make_stepper, tmp_path):
    path, first = tmp_path / "checkpoint.safetensors", stepped(make_stepper)
    larger = grown(first, first.adapter, 8, seed=1)
    larger.step([0, 1], 0.01, {}, seed=9)
    progress = Progress(Standing.unseen(4), growths=[Growth(2, 2, 4), Growth(3, 4, 8)])
    save_checkpoint(path, "run", progress, larger.adapter, larger.optimizer)
    got, got_progress = resumed(path, make_stepper(learning_rate=0.01))
    assert got_progress.growths == progress.growths
    for each in (larger, got):
        each.step([2, 3], 0.01, {}, seed=10)
    assert got.adapter.sha256(torch.float32) == larger.adapter.sha256(torch.float32)
    assert got.adapter.placement == larger.adapter.placement


def test_a_checkpoint_of_an_adapter_that_never_grew_is_taken_in_place(make_stepper, tmp_path):
    path, stepper = tmp_path / "checkpoint.safetensors", stepped(make_stepper)
    save_checkpoint(path, "run", Progress(Standing.unseen(4)), stepper.adapter, stepper.optimizer)
    assert resumed(path, stepper)[0] is stepper
