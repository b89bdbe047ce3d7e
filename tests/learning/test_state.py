import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save, save_file

from byheart.errors import ArtifactError
from byheart.learning import state
from byheart.learning.best import Best, Kept, Look
from byheart.learning.events import Growth
from byheart.learning.state import EpochSums, Progress, load_checkpoint, read_header, save_checkpoint
from byheart.learning.stopping import Plateau, Verification
from byheart.method.schedule import Standing
from models_for_tests import awake, placed, small

STANDING = Standing(torch.tensor([0.1, 0.5, 1 / 3]), torch.tensor([3, 0, 2]), torch.tensor([-1, 4, 7]))
PROGRESS = Progress(
    STANDING,
    epoch=7,
    step=2,
    num_steps=93,
    order=[2, 0, 1],
    weighting_state={"a": {"anchor": 3.0, "expansion": 1.1, "none": float("inf")}},
    num_visits=41,
    sums=EpochSums(0.1, 0.2, 3, 0.3),
    train_seconds=1 / 3,
    total_seconds=2 / 3,
    plateau=Plateau(12, 3),
    verification=Verification(4, 9),
    growths=[Growth(5, 8, 16), Growth(6, 16, 32)],
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "checkpoint.safetensors"


def trained(seed: int = 1, steps: int = 3, rank: int = 3):
    """An adapter and its optimizer after some steps."""
    adapter = awake(placed(small("llama"), "1", "attention", rank=rank), seed)
    optimizer = torch.optim.AdamW(adapter.parameters(), fused=True)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        for parameter in adapter.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        optimizer.step()
    return adapter, optimizer


def test_progress_comes_back_exactly(path):
    save_checkpoint(path, "run", PROGRESS, *trained())
    got = load_checkpoint(path, *trained(2))
    assert replace(got, standing=STANDING) == PROGRESS
    assert torch.equal(got.standing.min_probability_N, STANDING.min_probability_N)
    assert torch.equal(got.standing.num_stubborn_N, STANDING.num_stubborn_N)
    assert torch.equal(got.standing.last_seen_N, STANDING.last_seen_N)


def test_the_best_weights_and_the_candidate_come_back(path):
    tensors = [trained(seed)[0].tensors(torch.float32) for seed in (5, 6)]
    best = Best(Kept(3, Look(2, 9), tensors[0]), Kept(6, Look(1, 12), tensors[1]), num_waiting=4)
    save_checkpoint(path, "run", replace(PROGRESS, best=best), *trained())
    got = load_checkpoint(path, *trained(2)).best
    assert got.num_waiting == 4
    for kept, expected in ((got.best, best.best), (got.candidate, best.candidate)):
        assert kept and expected
        assert (kept.epoch, kept.look) == (expected.epoch, expected.look)
        assert kept.tensors.keys() == expected.tensors.keys()
        assert all(torch.equal(kept.tensors[name], expected.tensors[name]) for name in kept.tensors)


def test_a_plateau_that_has_not_begun_comes_back(path):
    save_checkpoint(path, "run", Progress(Standing.unseen(2)), *trained())
    assert load_checkpoint(path, *trained()).plateau == Plateau()


def test_weights_and_moments_come_back_so_that_the_next_step_is_the_same(path):
    adapter, optimizer = trained()
    save_checkpoint(path, "run", PROGRESS, adapter, optimizer)
    other, other_optimizer = trained(2, steps=0)
    load_checkpoint(path, other, other_optimizer)
    assert other.sha256(torch.float32) == adapter.sha256(torch.float32)
    for each, its_optimizer in ((adapter, optimizer), (other, other_optimizer)):
        for parameter in each.parameters():
            parameter.grad = torch.full_like(parameter, 0.3)
        its_optimizer.step()
    assert other.sha256(torch.float32) == adapter.sha256(torch.float32)


def test_a_weight_that_has_taken_fewer_steps_comes_back_so(path):
    adapter, optimizer = trained()
    last = list(adapter.parameters())[-1]
    for parameter in adapter.parameters():
        parameter.grad = None if parameter is last else torch.ones_like(parameter)
    optimizer.step()
    save_checkpoint(path, "run", PROGRESS, adapter, optimizer)
    other, other_optimizer = trained(2, steps=0)
    load_checkpoint(path, other, other_optimizer)
    *others, its = [int(other_optimizer.state[weight]["step"]) for weight in other.parameters()]
    assert set(others) == {4}
    assert its == 3


def test_a_checkpoint_before_the_first_step_has_no_moments(path):
    save_checkpoint(path, "run", PROGRESS, *trained(steps=0))
    _, optimizer = other = trained(2, steps=0)
    load_checkpoint(path, *other)
    assert not optimizer.state


def test_the_header_names_the_run(path):
    save_checkpoint(path, "the run", PROGRESS, *trained())
    header = read_header(path)
    assert (header["run_fingerprint"], header["progress"]["epoch"]) == ("the run", 7)


@pytest.mark.parametrize("content", [b"", b"x", b"\x10" + b"\0" * 40, save({"a": torch.zeros(2)})])
def test_what_is_no_checkpoint_is_refused(path, content):
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"is not a byheart checkpoint .*; remove it to start anew"):
        read_header(path)


@pytest.mark.parametrize("header", ["3", "{}", "{", '{"schema_version": "new"}'])
def test_a_header_that_is_not_ours_is_refused(path, header):
    save_file({"a": torch.zeros(2)}, path, {"byheart": header})
    with pytest.raises(ArtifactError, match="is not a byheart checkpoint"):
        read_header(path)


def test_a_torn_checkpoint_is_refused(path):
    save_checkpoint(path, "run", PROGRESS, *trained())
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ArtifactError, match="is not a byheart checkpoint"):
        read_header(path)


def test_a_missing_checkpoint_is_refused(path):
    with pytest.raises(ArtifactError, match="is not a byheart checkpoint"):
        read_header(path)


def test_a_checkpoint_of_a_newer_byheart_is_refused(path):
    save_checkpoint(path, "run", PROGRESS, *trained())
    header = {**read_header(path), "schema_version": state.SCHEMA_VERSION + 1}
    save_file(load_file(path), path, {"byheart": json.dumps(header)})
    with pytest.raises(ArtifactError, match="install a newer byheart"):
        load_checkpoint(path, *trained())


def test_a_checkpoint_of_an_older_byheart_is_refused(path):
    save_checkpoint(path, "run", PROGRESS, *trained())
    header = {**read_header(path), "schema_version": state.SCHEMA_VERSION - 1}
    save_file(load_file(path), path, {"byheart": json.dumps(header)})
    with pytest.raises(ArtifactError, match="an older byheart's; go on with that, or remove it"):
        load_checkpoint(path, *trained())


@pytest.mark.parametrize("rank", [2, 4])
def test_a_checkpoint_of_another_adapter_is_refused_and_changes_nothing(path, rank):
    save_checkpoint(path, "run", PROGRESS, *trained(rank=rank))
    adapter, optimizer = trained(rank=3)
    before = adapter.sha256(torch.float32)
    with pytest.raises(ArtifactError, match="of another adapter"):
        load_checkpoint(path, adapter, optimizer)
    assert adapter.sha256(torch.float32) == before


def test_a_full_disk_is_an_artifact_error_and_the_checkpoint_before_is_kept(path, monkeypatch):
    save_checkpoint(path, "first", PROGRESS, *trained())

    def full(self, content):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(type(path), "write_bytes", full)
        with pytest.raises(ArtifactError, match="No space left on device"):
            save_checkpoint(path, "second", PROGRESS, *trained())
    assert read_header(path)["run_fingerprint"] == "first"
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_the_weights_mean_comes_back(path):
    adapter, optimizer = trained()
    for parameter in adapter.parameters():
        optimizer.state[parameter]["mean"] = torch.full_like(parameter, 0.25, requires_grad=False)
    save_checkpoint(path, "run", PROGRESS, adapter, optimizer)
    other, its_optimizer = trained(2)
    load_checkpoint(path, other, its_optimizer)
    assert all(its_optimizer.state[parameter]["mean"].eq(0.25).all() for parameter in other.parameters())
