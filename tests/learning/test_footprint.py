import copy
import itertools
import os
import platform
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from byheart.learning import footprint as module
from byheart.learning.activations import compute_activations
from byheart.learning.best import Best, Kept, Look
from byheart.learning.footprint import Footprint, Needed, give_back, measured
from byheart.learning.state import Progress, save_checkpoint
from byheart.learning.step import Stepper
from byheart.memory.encode import encode
from byheart.memory.records import Memory
from byheart.method.schedule import Standing
from byheart.method.threshold import Threshold
from byheart.method.weighting import Uniform
from byheart.model.adapter import Adapter, attached
from byheart.model.shared_prompt import SHORT, as_if_long
from models_for_tests import all_close, close, placed

LN_2 = 0.6931


def footprint(own: list[int], position_bytes: float = 1000.0) -> Footprint:
    row_bytes = int(min(own) * position_bytes)
    return Footprint(int(3 * position_bytes), row_bytes, position_bytes, 10, tuple(own), tuple(1 for _ in own))


@given(st.lists(st.integers(1, 50), min_size=1, max_size=30), st.integers(1, 2 * 10**8))
def test_passes_hold_each_record_once_and_in_order(own, budget):
    passes = footprint(own).passes(range(len(own)), budget)
    assert [i for part in passes for i in part] == list(range(len(own)))


@given(st.lists(st.integers(1, 50), min_size=1, max_size=30), st.integers(1, 2 * 10**8))
def test_a_pass_of_several_records_is_within_the_budget(own, budget):
    mine = footprint(own, position_bytes=1e5)
    assert all(mine.of(part) <= budget for part in mine.passes(range(len(own)), budget) if len(part) > 1)


@given(st.lists(st.integers(1, 50), min_size=2, max_size=30), st.integers(1, 2 * 10**8))
def test_a_pass_ends_only_where_the_next_record_has_no_room(own, budget):
    mine = footprint(own, position_bytes=1e5)
    passes = mine.passes(range(len(own)), budget)
    assert all(mine.of([*part, after[0]]) > budget for part, after in itertools.pairwise(passes))


def test_without_a_bound_nothing_is_cut():
    assert footprint([5, 5, 5]).passes([2, 0, 1], None) == [[2, 0, 1]]


def test_the_largest_pass_is_of_the_longest_records():
    mine = footprint([5, 40, 7, 30])
    assert mine.largest(2, None) == mine.of([1, 3])


def test_a_budget_bounds_the_largest_pass():
    mine = footprint([40, 40, 40, 40])
    assert mine.largest(4, mine.of([0, 1])) == mine.of([0, 1])


@pytest.fixture
def both(make_stepper, adapter):
    """Two steppers with the same weights, of which the second takes each record of a batch in a pass of its own."""

    def both_(weighting, **settings) -> tuple[Stepper, Stepper]:
        whole, cut = (make_stepper(weighting, copy.deepcopy(adapter), **settings) for _ in range(2))
        cut.config = cut.config.model_copy(update={"step_memory_bytes": 1})
        cut.footprint = of(cut)
        return whole, cut

    return both_


@pytest.mark.parametrize("weighting", [Uniform(), Threshold(LN_2, 0.01), Threshold(4.3, 0.01)])
def test_a_batch_in_passes_has_the_gradient_of_one_pass(both, gradients_of, weighting):
    whole, cut = both(weighting)
    assert all_close(gradients_of(cut, [2, 0, 3, 1]), gradients_of(whole, [2, 0, 3, 1]))


def test_batches_in_passes_accumulate_as_whole_ones_do(both, gradients_of):
    whole, cut = both(Threshold(4.3, 0.01), batch_size=2, accumulation=2)
    assert all_close(gradients_of(cut, [2, 0, 3, 1]), gradients_of(whole, [2, 0, 3, 1]))


def test_a_batch_in_passes_shows_what_it_shows_whole(both):
    [expected], [got] = (stepper.step([2, 0, 3, 1], 1e-2, {}, 0)[0] for stepper in both(Threshold(4.3, 0.01)))
    assert list(got.indices) == list(expected.indices)
    assert got.objective == pytest.approx(expected.objective, rel=1e-5)
    assert close(got.nll_A, expected.nll_A)
    assert close(got.worst_nll_B, expected.worst_nll_B)
    assert got.num_stubborn_B.tolist() == expected.num_stubborn_B.tolist()


@pytest.mark.parametrize("weighting", [Uniform(), Threshold(1e6)], ids=["all tokens count", "none does"])
def test_what_is_kept_for_the_backward_pass_is_within_the_budget(make_stepper, weighting):
    stepper = make_stepper(weighting)
    stepper.footprint = of(stepper)
    budget = stepper.footprint.of([0, 1])
    stepper.config = stepper.config.model_copy(update={"step_memory_bytes": budget})
    assert len(stepper.footprint.passes([0, 1, 2, 3], budget)) > 1
    own = {weight.untyped_storage().data_ptr() for weight in stepper.split_model.model.parameters()}
    alive: list[tuple[int, int]] = []
    most = 0

    class Kept:
        def __init__(self, tensor: torch.Tensor) -> None:
            nonlocal most
            # Detached: a result that its own backward pass needs would hold the graph that holds it.
            self.tensor, self.key = tensor.detach(), tensor.untyped_storage().data_ptr()
            if self.key not in own:
                alive.append((self.key, tensor.untyped_storage().nbytes()))
            most = max(most, sum(dict(alive).values()))

        def __del__(self) -> None:
            if self.key not in own:
                alive.remove((self.key, self.tensor.untyped_storage().nbytes()))

    with torch.autograd.graph.saved_tensors_hooks(Kept, lambda kept: kept.tensor):
        stepper.step([0, 1, 2, 3], 1e-2, {}, 0)
    assert 0 < most <= budget - module._SLACK_BYTES


def test_what_is_measured_is_what_passes_of_other_sizes_keep(make_stepper):
    stepper = make_stepper()
    parts = stepper.split_model, stepper.adapter, stepper.activations
    mine = replace(of(stepper), token_bytes=0)
    for indices in ([0], [1, 2], [0, 1, 2, 3]):
        longest = max(indices, key=stepper.activations.lengths.__getitem__)
        with attached(stepper.split_model.model, stepper.adapter):
            kept = module._kept_bytes(*parts, [longest] * len(indices))
        assert kept <= mine.of(indices) - module._SLACK_BYTES < 1.5 * kept


@pytest.mark.parametrize("num_shared_words", [2, 60])
def test_a_long_shared_prompt_is_charged_to_every_row(tiny_base, split_model, tmp_path, num_shared_words):
    pairs = [("word " * num_shared_words + f"number {i}?", f"{i}" * 4) for i in range(4)]
    encoded = encode(Memory.from_pairs(pairs), tiny_base.tokenizer)
    cache = compute_activations(split_model, encoded, tiny_base.device, memory_budget_bytes=2**30, directory=tmp_path)
    adapter = Adapter.initialised(placed(tiny_base.model, "top:1", rank=3), torch.device("cpu"), 1)
    mine = replace(measured(split_model, adapter, cache, num_words=97), token_bytes=0)
    with attached(tiny_base.model, adapter):
        kept = module._kept_bytes(split_model, adapter, cache, range(4))
    assert kept <= mine.of(range(4)) - module._SLACK_BYTES < 1.5 * kept


def test_rows_up_to_which_attention_is_plain_are_counted_for_what_it_keeps(tiny_base, split_model, tmp_path):
    pairs = [(f"Number {i}?", "x" * num) for i, num in enumerate([4, 220, 220, 220, 220, 450])]
    encoded = encode(Memory.from_pairs(pairs), tiny_base.tokenizer)
    cache = compute_activations(split_model, encoded, tiny_base.device, memory_budget_bytes=2**30, directory=tmp_path)
    assert max(cache.lengths) > SHORT - cache.num_shared > cache.lengths[1] > SHORT - cache.num_shared - 20
    adapter = Adapter.initialised(placed(tiny_base.model, "top:1", rank=3), torch.device("cpu"), 1)
    mine = replace(measured(split_model, adapter, cache, num_words=97), token_bytes=0)
    with attached(tiny_base.model, adapter):
        kept = module._kept_bytes(split_model, adapter, cache, [1, 2, 3, 4])
    assert kept <= mine.of([1, 2, 3, 4]) - module._SLACK_BYTES < 1.3 * kept


def test_where_no_row_attends_plainly_the_longest_tells_what_a_position_keeps(split_model, tiny_base, tmp_path):
    pairs = [(f"Number {i}?", "x" * num) for i, num in enumerate([4, 220, 450])]
    encoded = encode(Memory.from_pairs(pairs), tiny_base.tokenizer)
    cache = compute_activations(split_model, encoded, tiny_base.device, memory_budget_bytes=2**30, directory=tmp_path)
    adapter = Adapter.initialised(placed(tiny_base.model, "top:1", rank=3), torch.device("cpu"), 1)
    with as_if_long():
        mine = replace(measured(split_model, adapter, cache, num_words=97), token_bytes=0)
        with attached(tiny_base.model, adapter):
            kept = module._kept_bytes(split_model, adapter, cache, [2])
    assert mine.of([2]) - module._SLACK_BYTES == pytest.approx(module._SLACK * kept, rel=1e-3)


def test_of_a_single_record_two_rows_are_never_run(split_model, tiny_base, adapter, tmp_path, monkeypatch):
    encoded = encode(Memory.from_pairs([("Key?", "4711")]), tiny_base.tokenizer)
    cache = compute_activations(split_model, encoded, tiny_base.device, memory_budget_bytes=2**30, directory=tmp_path)
    run, counted = [], module._kept_bytes
    monkeypatch.setattr(module, "_kept_bytes", lambda *parts: run.append(list(parts[-1])) or counted(*parts))
    mine = measured(split_model, adapter, cache, num_words=97)
    assert run == [[0]]
    assert (mine.once_bytes, mine.position_bytes) == (0, 0)
    assert mine.row_bytes > 0


def test_measuring_changes_neither_the_adapter_nor_what_is_drawn_next(make_stepper):
    stepper = make_stepper()
    before, drawn = [weight.clone() for weight in stepper.parameters], torch.random.get_rng_state()
    of(stepper)
    assert all(torch.equal(weight, kept) for weight, kept in zip(stepper.parameters, before, strict=True))
    assert torch.equal(torch.random.get_rng_state(), drawn)
    assert all(weight.grad is None for weight in stepper.parameters)


def of(stepper: Stepper) -> Footprint:
    return measured(stepper.split_model, stepper.adapter, stepper.activations, num_words=97)


def needed(stepper: Stepper, *, step_bytes: int = 0, is_saved: bool = False) -> Needed:
    return Needed(stepper.split_model, stepper.adapter, stepper.activations, step_bytes, 4096, is_saved)


def test_the_memory_told_has_an_adapters_weights_moments_and_copies(make_stepper):
    stepper = make_stepper()
    rank = stepper.adapter.placement.lora_rank
    own = sum(weight.nbytes for weight in stepper.parameters)
    mine = needed(stepper)
    assert mine.num_bytes(2 * rank) - mine.num_bytes(rank) == 10 * own
    saved = needed(stepper, is_saved=True)
    assert saved.num_bytes(rank) - mine.num_bytes(rank) == 10 * own


def test_a_checkpoint_has_as_many_copies_of_the_adapter_as_are_told(make_stepper, tmp_path):
    stepper, path = make_stepper(), tmp_path / "checkpoint.safetensors"
    stepper.step([0, 1], 1e-2, {}, 0)
    one, other = (Kept(1, Look(0, 0), stepper.adapter.tensors(torch.float32)) for _ in range(2))
    save_checkpoint(path, "", Progress(Standing.unseen(4), best=Best(one, other)), stepper.adapter, stepper.optimizer)
    saved = load_file(path)
    copies = sum(tensor.nbytes for name, tensor in saved.items() if not name.startswith(("standing.", "step.")))
    assert copies == 6 * sum(weight.nbytes for weight in stepper.parameters)


def test_the_memory_told_has_the_step_where_that_is_larger_than_a_look(make_stepper):
    stepper = make_stepper()
    rank = stepper.adapter.placement.lora_rank
    large = 10**12
    assert (
        needed(stepper, step_bytes=large + 1).num_bytes(rank) - needed(stepper, step_bytes=large).num_bytes(rank) == 1
    )
    assert needed(stepper, step_bytes=1).num_bytes(rank) == needed(stepper).num_bytes(rank)


def test_the_memory_told_has_the_states_that_are_in_memory_and_no_others(
    make_stepper, split_model, tiny_encoded, tmp_path
):
    stepper = make_stepper()
    rank = stepper.adapter.placement.lora_rank
    on_disk = compute_activations(split_model, tiny_encoded, stepper.device, memory_budget_bytes=0, directory=tmp_path)
    mapped = replace(needed(stepper), activations=on_disk)
    assert on_disk.file is not None
    assert needed(stepper).num_bytes(rank) - mapped.num_bytes(rank) == stepper.activations.hidden_PD.nbytes > 0


def test_what_a_grown_adapter_would_take_is_told_before(make_stepper, monkeypatch):
    monkeypatch.setattr(module, "_KEPT_ON_CPU_BYTES", 5 * 10**9)
    mine = needed(make_stepper())
    rank = mine.adapter.placement.lora_rank
    assert mine.sentence(rank, rank) == "about 5.0 GB of memory to learn in, beside the model"
    assert mine.sentence(rank, 8 * rank).endswith(f"the model; 5.0 GB should the adapter grow to rank {8 * rank}")


def test_what_is_told_of_an_adapter_that_has_grown_is_of_its_rank_now(make_stepper, monkeypatch):
    monkeypatch.setattr(module, "_KEPT_ON_CPU_BYTES", 0)
    mine = needed(make_stepper(), step_bytes=1)
    rank = 10**6
    assert (
        mine.sentence(rank, rank)
        == f"about {mine.num_bytes(rank) / 1e9:.1f} GB of memory to learn in, beside the model"
    )


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps what is freed and can give it back")
def test_freed_memory_behind_what_is_still_in_use_goes_back_to_the_system():
    def resident_bytes() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    # Each too small to be mapped by itself; every other one stays in use.
    blocks = [torch.ones(25_000) for _ in range(2000)]
    del blocks[::2]
    before = resident_bytes()
    give_back()
    assert before - resident_bytes() > 50_000_000
