import math
import warnings
from dataclasses import replace

import pytest
import torch

from byheart.errors import BundleError, PlacementError
from byheart.model.adapter import Adapter, attached
from byheart.model.placement import Site
from models_for_tests import awake, close, placed, random_tokens, small
from oracles import whole_model

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def model():
    return small("llama")


@torch.no_grad()
def logits(model, **arguments):
    return model(input_ids=random_tokens(2, 9), use_cache=False, **arguments).logits


@pytest.mark.parametrize("modules", ["all-linear", "down_proj", "mlp-bypass"])
@pytest.mark.parametrize("alpha", [None, 1.5])
def test_an_attached_adapter_is_the_oracles_lora(model, modules, alpha):
    adapter = awake(placed(model, modules=modules, lora_alpha=alpha))
    with attached(model, adapter):
        got = logits(model)
    assert close(got, logits(whole_model.with_lora(model, adapter)))
    assert not close(got, logits(model), relative=1e-2)


def test_a_fresh_adapter_changes_nothing(model):
    before = logits(model)
    with attached(model, Adapter.initialised(placed(model), CPU, seed=1)):
        assert torch.equal(logits(model), before)


def test_the_model_is_as_found_after_the_block(model):
    before = logits(model)
    with attached(model, awake(placed(model))):
        pass
    assert torch.equal(logits(model), before)
    assert not any(module._forward_hooks for module in model.modules())


def test_the_model_is_as_found_after_an_error_in_the_block(model):
    with pytest.raises(ZeroDivisionError), attached(model, awake(placed(model))):
        _ = 1 / 0
    assert not any(module._forward_hooks for module in model.modules())


def test_a_site_that_the_model_lacks_is_an_error_and_leaves_no_hook(model):
    placement = placed(model)
    elsewhere = replace(placement, sites=(*placement.sites, Site("model.layers.9.mlp.down_proj", 48, 32)))
    with pytest.raises(PlacementError, match=r"model\.layers\.9\.mlp\.down_proj"), attached(model, awake(elsewhere)):
        pass
    assert not any(module._forward_hooks for module in model.modules())


def test_first_weights_are_kaiming_uniform_and_zero():
    placement = placed(small("llama", hidden_size=64), rank=64)
    adapter = Adapter.initialised(placement, CPU, seed=3)
    for lora_A, lora_B, site in zip(adapter.lora_A, adapter.lora_B, placement.sites, strict=True):
        bound = 1 / math.sqrt(site.num_in)
        assert lora_A.abs().max() <= bound
        assert lora_A.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.1)
        assert not lora_B.any()


def test_the_seed_decides_the_first_weights(model):
    placement = placed(model)
    hashes = [Adapter.initialised(placement, CPU, seed).sha256(torch.float32) for seed in (1, 1, 2)]
    assert hashes[0] == hashes[1] != hashes[2]


def test_rounding_gives_what_a_file_of_that_dtype_would_hold(model):
    adapter = awake(placed(model))
    rounded = adapter.rounded(torch.bfloat16)
    for mine, theirs in zip(rounded.parameters(), adapter.parameters(), strict=True):
        assert torch.equal(mine, theirs.bfloat16().float())
        assert mine.dtype == torch.float32


def test_rounding_leaves_the_adapter_itself_alone(model):
    adapter = awake(placed(model))
    before = adapter.sha256(torch.float32)
    adapter.rounded(torch.bfloat16)
    assert adapter.sha256(torch.float32) == before


def test_the_hash_is_of_the_weights_as_saved(model):
    adapter = awake(placed(model))
    assert adapter.sha256(torch.bfloat16) == adapter.rounded(torch.bfloat16).sha256(torch.bfloat16)
    assert adapter.sha256(torch.bfloat16) != adapter.sha256(torch.float32)


def test_the_hash_sees_one_weight_change(model):
    adapter = awake(placed(model))
    before = adapter.sha256(torch.float32)
    with torch.no_grad():
        adapter.lora_B[2][1, 1] += 1e-3
    assert adapter.sha256(torch.float32) != before


def test_tensors_survive_a_round_trip(model):
    adapter = awake(placed(model))
    other = Adapter(adapter.placement, CPU)
    other.load_tensors(adapter.tensors(torch.float32))
    assert other.sha256(torch.float32) == adapter.sha256(torch.float32)


def test_tensors_of_another_placement_are_refused(model):
    with pytest.raises(BundleError, match="missing or left over"):
        Adapter(placed(model, "1"), CPU).load_tensors(awake(placed(model, "2")).tensors(torch.float32))


def test_tensors_of_another_rank_are_refused(model):
    with pytest.raises(BundleError, match="shape"):
        Adapter(placed(model, rank=4), CPU).load_tensors(awake(placed(model, rank=3)).tensors(torch.float32))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("alpha", [None, 1.5])
def test_a_linear_modules_addition_is_pefts_own(model, dtype, alpha):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from peft.tuners.lora import LoraConfig
        from peft.tuners.lora.layer import Linear

    placement = placed(model, "1", "down_proj", lora_alpha=alpha)
    adapter = awake(placement).rounded(dtype)
    linear = torch.nn.Linear(48, 32, bias=False, dtype=dtype)
    settings = LoraConfig(r=placement.lora_rank, lora_alpha=placement.lora_alpha)  # type: ignore[arg-type]
    layer = Linear(linear, "default", settings, r=placement.lora_rank, lora_alpha=placement.lora_alpha).to(dtype)  # type: ignore[arg-type]
    x = torch.randn(7, 48, generator=torch.Generator().manual_seed(2)).to(dtype)
    with torch.no_grad():
        for name, matrix in (("lora_A", adapter.lora_A[0]), ("lora_B", adapter.lora_B[0])):
            layer.get_parameter(f"{name}.default.weight").copy_(matrix)
        assert torch.equal(linear(x) + adapter.delta(0, x), layer.eval()(x))


def test_products_are_taken_in_the_dtype_of_the_activations(model):
    adapter = awake(placed(model))
    assert adapter.delta(0, torch.randn(2, 32).bfloat16()).dtype == torch.bfloat16


def dropped(model, *, train: bool, seed: int = 1) -> torch.Tensor:
    adapter = awake(placed(model, "1", "o_proj", lora_dropout=0.5)).train(train)
    torch.manual_seed(seed)
    return adapter.delta(0, torch.ones(4, 32)).detach()


def test_dropout_works_while_learning_only(model):
    plain = awake(placed(model, "1", "o_proj")).delta(0, torch.ones(4, 32))
    assert torch.equal(dropped(model, train=False), plain)
    assert not torch.equal(dropped(model, train=True), plain)


def test_dropout_is_drawn_from_the_seed(model):
    assert torch.equal(dropped(model, train=True), dropped(model, train=True))
    assert not torch.equal(dropped(model, train=True), dropped(model, train=True, seed=2))


def test_dropout_scales_what_it_keeps():
    adapter = awake(placed(small("llama"), "1", "o_proj", rank=1, lora_dropout=0.25)).train()
    with torch.no_grad():
        adapter.lora_A[0].fill_(1.0)
        adapter.lora_B[0].fill_(1.0)
    torch.manual_seed(0)
    summed = adapter.delta(0, torch.ones(2000, 32))[:, 0]
    kept = summed / (1 / 0.75)
    assert torch.allclose(kept, kept.round(), atol=1e-4)
    assert summed.mean().item() == pytest.approx(32, rel=0.02)


def test_a_bypass_adds_x_a_b_around_the_block(model):
    adapter = awake(placed(model, "1", "mlp-bypass", lora_alpha=1.5))
    block = model.model.layers[1].mlp
    x_BTD = torch.randn(2, 3, 32)
    plain = block(x_BTD)
    with attached(model, adapter), torch.no_grad():
        got = block(x_BTD)
    assert close(got, plain + 0.5 * (x_BTD @ adapter.lora_A[0].T) @ adapter.lora_B[0].T)


def test_a_bypass_leaves_what_else_a_block_gives_as_it_is(model):
    adapter = awake(placed(model, "1", "mlp-bypass"))
    block, scores = model.model.layers[1].mlp, torch.ones(3)
    x_BTD = torch.randn(2, 3, 32)
    with attached(model, adapter), torch.no_grad():
        alone = block(x_BTD)
    with_scores = block.register_forward_hook(lambda module, inputs, output: (output, scores))
    try:
        with attached(model, adapter), torch.no_grad():
            got, kept = block(x_BTD)
    finally:
        with_scores.remove()
    assert close(got, alone)
    assert kept is scores


@pytest.mark.parametrize("modules", ["all-linear", "mlp-bypass"])
@pytest.mark.parametrize("alpha", [None, 1.5])
def test_a_grown_adapter_adds_what_it_added_before(model, modules, alpha):
    adapter = awake(placed(model, modules=modules, rank=3, lora_alpha=alpha))
    larger = adapter.grown(6, seed=5)
    assert larger.placement.scale == adapter.placement.scale
    with attached(model, adapter):
        before = logits(model)
    with attached(model, larger):
        assert close(logits(model), before, relative=1e-6)  # fp32: only the order of sums may differ


def test_it_grows_by_rows_drawn_as_the_first_ones_and_by_columns_of_zeros(model):
    adapter = awake(placed(model, rank=3))
    larger = adapter.grown(32, seed=5)
    for mine, theirs, site in zip(adapter.lora_A, larger.lora_A, adapter.placement.sites, strict=True):
        bound = 1 / math.sqrt(site.num_in)
        assert torch.equal(theirs[:3], mine)
        assert theirs[3:].abs().max() <= bound
        assert theirs[3:].std().item() == pytest.approx(bound / math.sqrt(3), rel=0.1)
    for mine, theirs in zip(adapter.lora_B, larger.lora_B, strict=True):
        assert torch.equal(theirs[:, :3], mine)
        assert not theirs[:, 3:].any()


def test_the_seed_decides_what_an_adapter_grows_by(model):
    adapter = awake(placed(model))
    hashes = [adapter.grown(6, seed).sha256(torch.float32) for seed in (1, 1, 2)]
    assert hashes[0] == hashes[1] != hashes[2]


def test_growing_leaves_the_adapter_itself_alone(model):
    adapter = awake(placed(model))
    before = adapter.sha256(torch.float32)
    with torch.no_grad():
        for parameter in adapter.grown(6, seed=1).parameters():
            parameter.fill_(9.0)
    assert adapter.sha256(torch.float32) == before
