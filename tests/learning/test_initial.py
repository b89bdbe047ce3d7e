import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from byheart.learning import initial
from byheart.learning.activations import compute_activations
from byheart.learning.initial import SPREAD, point_at, principal_rows
from byheart.memory.encode import encode
from byheart.memory.records import Memory
from byheart.model.adapter import Adapter
from models_for_tests import close, placed


def correlated(num_positions: int = 200, num_inputs: int = 12, seed: int = 0) -> torch.Tensor:
    """Positions that vary most along the first axes, about a mean far from the origin."""
    generator = torch.Generator().manual_seed(seed)
    scale_D = torch.tensor([2.0 ** -(i // 2) for i in range(num_inputs)])
    mean_D = torch.zeros(num_inputs)
    mean_D[-1] = 5.0
    return torch.randn(num_positions, num_inputs, generator=generator) * scale_D + mean_D


def test_rows_lie_where_the_inputs_vary_most():
    row_RD = principal_rows(correlated(), 2)
    share = row_RD[:, :2].square().sum() / row_RD.square().sum()
    assert share > 0.9


def test_rows_hand_on_the_spread_that_is_promised():
    input_ND = correlated(2000)
    variance_R = (input_ND @ principal_rows(input_ND, 4).T).var(0)
    assert variance_R.mean().item() == pytest.approx(SPREAD**2, rel=0.02)


def test_rows_are_blind_to_the_mean():
    input_ND = correlated()
    row_RD = principal_rows(input_ND, 4)
    assert (row_RD @ input_ND.mean(0)).abs().max() < 1e-4 * row_RD.norm() * input_ND.mean(0).norm()


@given(factor=st.floats(0.01, 100.0))
@settings(max_examples=10)
def test_the_size_of_activations_does_not_matter(factor):
    def handed_on(input_ND):
        torch.manual_seed(0)
        return input_ND @ principal_rows(input_ND, 3).T

    assert close(handed_on(correlated() * factor).abs(), handed_on(correlated()).abs(), 1e-3)


def test_one_position_far_from_all_others_turns_nothing():
    input_ND = correlated()
    far_ND = torch.cat([input_ND, torch.full((1, 12), 1e4)])
    torch.manual_seed(0)
    expected = principal_rows(input_ND, 3)
    torch.manual_seed(0)
    assert close(principal_rows(far_ND, 3).abs(), expected.abs(), 1e-3)


@pytest.mark.parametrize("num_positions", [1, 2, 3])
def test_no_more_rows_than_the_inputs_have_directions(num_positions):
    assert len(principal_rows(correlated(num_positions), 8)) == num_positions - 1


def test_inputs_that_are_all_alike_give_no_row():
    assert len(principal_rows(torch.ones(9, 4), 2)) == 0


def test_a_site_that_is_never_asked_gets_no_row():
    assert principal_rows(torch.empty(0, 4), 2).shape == (0, 4)


@pytest.fixture
def fresh(tiny_base):
    placement = placed(tiny_base.model, "top:1", rank=4)
    return Adapter.initialised(placement, tiny_base.device, seed=3)


def test_b_stays_zero_and_every_a_is_turned(fresh, split_model, activations):
    before = [matrix.clone() for matrix in fresh.lora_A]
    point_at(fresh, split_model, activations, seed=0)
    assert not any(matrix.any() for matrix in fresh.lora_B)
    assert not any(torch.equal(old, new) for old, new in zip(before, fresh.lora_A, strict=True))


def test_sites_with_the_same_input_get_the_same_directions_and_others_not(fresh, split_model, activations):
    point_at(fresh, split_model, activations, seed=0)
    by_name = {
        site.path.rsplit(".", 1)[-1]: matrix for site, matrix in zip(fresh.placement.sites, fresh.lora_A, strict=True)
    }
    basis = {name: torch.linalg.qr(matrix.detach().T).Q for name, matrix in by_name.items()}

    def shared(one: str, other: str) -> float:
        return float((basis[one].T @ basis[other]).square().sum() / 4)

    assert shared("q_proj", "v_proj") > 0.95
    assert shared("q_proj", "gate_proj") < 0.9


def test_the_same_seed_gives_the_same_weights_and_draws_from_nobody(split_model, activations, tiny_base):
    def weights():
        adapter = Adapter.initialised(placed(tiny_base.model, "top:1", rank=4), tiny_base.device, 3)
        point_at(adapter, split_model, activations, seed=0)
        return adapter.sha256(torch.float32)

    torch.manual_seed(1)
    first, drawn = weights(), torch.rand(1)
    torch.manual_seed(2)
    assert weights() == first
    torch.manual_seed(1)
    assert torch.equal(torch.rand(1), drawn)


@pytest.mark.parametrize("most", [10, 200, 10**6])
@pytest.mark.parametrize("batch_tokens", [1, 2048])
def test_each_site_is_looked_at_in_as_many_positions_as_there_are_up_to_twice_the_bound(
    tiny_base, split_model, tmp_path, monkeypatch, most, batch_tokens
):
    pairs = [(f"{'What is the number ' * 4}{i}?", "x" * 20) for i in range(9)]
    encoded = encode(Memory.from_pairs(pairs), tiny_base.tokenizer)
    cache = compute_activations(split_model, encoded, tiny_base.device, memory_budget_bytes=2**30, directory=tmp_path)
    fresh = Adapter.initialised(placed(tiny_base.model, "top:1", rank=4), tiny_base.device, seed=3)
    monkeypatch.setattr(initial, "MOST_POSITIONS", most)
    monkeypatch.setattr(initial, "_FEWEST_EACH", 0)  # every record
    monkeypatch.setattr(initial, "PREFIX_BATCH_TOKENS", batch_tokens)
    num_read = sum(len(record.answer_ids) for record in encoded.records)
    assert num_read < sum(cache.lengths)
    for site, input_ND in zip(fresh.placement.sites, initial._inputs(fresh, split_model, cache), strict=True):
        num = num_read if site.path.endswith(("gate_proj", "up_proj", "down_proj")) else sum(cache.lengths)
        assert len(input_ND) == num if num < 2 * most else most <= len(input_ND) < 2 * most


@pytest.mark.parametrize("batch_tokens", [1, 2048])
def test_what_is_looked_at_does_not_hang_on_how_records_are_batched(
    tiny_base, split_model, tmp_path, monkeypatch, batch_tokens
):
    pairs = [(f"Number {i}?", "x" * 20) for i in range(9)]
    encoded = encode(Memory.from_pairs(pairs), tiny_base.tokenizer)
    cache = compute_activations(split_model, encoded, tiny_base.device, memory_budget_bytes=2**30, directory=tmp_path)
    fresh = Adapter.initialised(placed(tiny_base.model, "top:1", rank=4), tiny_base.device, seed=3)
    monkeypatch.setattr(initial, "_FEWEST_EACH", 0)  # every record
    monkeypatch.setattr(initial, "PREFIX_BATCH_TOKENS", batch_tokens)
    whole = list(initial._inputs(fresh, split_model, cache))
    monkeypatch.setattr(initial, "MOST_POSITIONS", 60)
    for all_ND, some_ND in zip(whole, initial._inputs(fresh, split_model, cache), strict=True):
        assert close(some_ND, all_ND[:: len(all_ND) // 60])


def test_no_hook_stays(fresh, split_model, activations):
    point_at(fresh, split_model, activations, seed=0)
    assert not any(module._forward_pre_hooks for module in split_model.model.modules())
