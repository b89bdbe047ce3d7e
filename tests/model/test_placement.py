import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from byheart.errors import PlacementError
from byheart.model.adapter import Adapter, attached
from byheart.model.placement import Placement, parse_layers
from models_for_tests import FAMILIES, NUM_LAYERS, awake, close, gpt2, placed, small


@pytest.mark.parametrize(
    ("spec", "layers"),
    [
        ("0", (0,)),
        ("29", (29,)),
        ("-1", (29,)),
        ("3-5", (3, 4, 5)),
        ("7-7", (7,)),
        ("0.0", (0,)),
        ("0.67", (20,)),
        ("1.0", (29,)),
        (".5", (15,)),
        ("0.5-0.6", (15, 16, 17, 18)),
        ("top:2", (28, 29)),
        ("all", tuple(range(30))),
        ("5, 2, 5,top:1", (2, 5, 29)),
    ],
)
def test_a_spec_names_layers(spec, layers):
    assert parse_layers(spec, 30) == layers


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("30", "layers 0 to 29"),
        ("-31", "layers 0 to 29"),
        ("28-30", "layers 0 to 29"),
        ("1.5", "between 0.0 and 1.0"),
        ("top:0", "top:1 to top:30"),
        ("top:31", "top:1 to top:30"),
        ("5-3", "runs backwards"),
        ("last", "not a layer spec"),
        ("", "not a layer spec"),
        ("3,", "not a layer spec"),
        ("3 4", "not a layer spec"),
    ],
)
def test_a_wrong_spec_is_told_with_what_there_is(spec, told):
    with pytest.raises(PlacementError, match=told):
        parse_layers(spec, 30)


@given(st.integers(1, 200), st.data())
def test_a_union_is_sorted_distinct_and_what_its_parts_are(num_layers, data):
    index = st.integers(0, num_layers - 1)
    chosen = data.draw(st.lists(st.tuples(index, index).map(sorted), min_size=1, max_size=5))
    spec = ",".join(f"{first}-{last}" if first < last else f"{first}" for first, last in chosen)
    expected = {layer for first, last in chosen for layer in range(first, last + 1)}
    assert parse_layers(spec, num_layers) == tuple(sorted(expected))


@given(st.integers(1, 200), st.floats(0, 1))
def test_any_fraction_of_the_depth_is_a_layer(num_layers, share):
    (layer,) = parse_layers(f"{share:.6f}", num_layers)
    assert 0 <= layer < num_layers


@given(st.text(max_size=12))
def test_any_text_is_layers_or_a_placement_error(spec):
    try:
        layers = parse_layers(spec, 12)
    except PlacementError:
        return
    assert layers
    assert set(layers) <= set(range(12))


def last_names(placement: Placement) -> list[str]:
    return [site.path.rsplit(".", 1)[-1] for site in placement.sites]


@pytest.mark.parametrize(
    ("modules", "names"),
    [
        ("down_proj", ["down_proj"]),
        ("mlp", ["gate_proj", "up_proj", "down_proj"]),
        ("attention", ["q_proj", "k_proj", "v_proj", "o_proj"]),
        ("all-linear", ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]),
        ("down_proj, q_proj", ["q_proj", "down_proj"]),
        ("mlp.up_proj", ["up_proj"]),
        ("mlp,down_proj", ["gate_proj", "up_proj", "down_proj"]),
    ],
)
def test_modules_are_taken_by_name_or_group_in_the_models_order(modules, names):
    assert last_names(placed(small("llama"), "1", modules)) == names


def test_phi3s_fused_projections_are_modules_like_others():
    phi3 = small("phi3")
    assert last_names(placed(phi3, "1", "attention")) == ["o_proj", "qkv_proj"]
    assert last_names(placed(phi3, "1", "mlp")) == ["gate_up_proj", "down_proj"]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_both_groups_and_they_make_up_all_linear(family):
    model = small(family)
    groups = [set(placed(model, "0", modules).sites) for modules in ("mlp", "attention")]
    assert all(groups)
    assert groups[0] | groups[1] == set(placed(model, "0", "all-linear").sites)


@pytest.mark.parametrize("family", FAMILIES)
def test_sites_are_the_models_modules_and_their_sizes(family):
    model = small(family)
    for site in placed(model, "all").sites:
        module = model.get_submodule(site.path)
        assert isinstance(module, nn.Linear)
        assert (site.num_in, site.num_out) == (module.in_features, module.out_features)


def test_a_module_that_matches_nothing_is_told_with_all_there_are():
    with pytest.raises(PlacementError) as caught:
        placed(small("llama"), "1", "downproj")
    assert "did you mean 'down_proj'?" in str(caught.value)
    for name in ("all-linear", "mlp", "attention", "mlp-bypass", "gate_proj", "k_proj"):
        assert name in str(caught.value)


def test_a_bypass_is_no_part_of_a_union():
    with pytest.raises(PlacementError, match="mlp-bypass"):
        placed(small("llama"), "1", "mlp-bypass,q_proj")


def test_a_bypass_spans_the_mlp_block():
    placement = placed(small("llama"), "1,3", "mlp-bypass")
    assert [(site.path, site.num_in, site.num_out) for site in placement.sites] == [
        ("model.layers.1.mlp", 32, 32),
        ("model.layers.3.mlp", 32, 32),
    ]
    assert placement.is_bypass


def test_a_bypass_has_two_d_r_parameters_a_layer():
    assert placed(small("llama"), "1", "mlp-bypass", rank=4).num_parameters == 2 * 32 * 4


@pytest.mark.parametrize("modules", ["all-linear", "down_proj", "mlp-bypass"])
def test_the_count_is_the_adapters_own(modules):
    placement = placed(small("phi3"), "top:2", modules, rank=5)
    adapter = Adapter(placement, torch.device("cpu"))
    assert placement.num_parameters == sum(parameter.numel() for parameter in adapter.parameters())


def test_layers_are_those_of_the_sites():
    placement = placed(small("llama"), f"0,{NUM_LAYERS - 1}", "o_proj")
    assert placement.layers == (0, NUM_LAYERS - 1)
    assert [site.path for site in placement.sites] == [f"model.layers.{i}.self_attn.o_proj" for i in (0, 3)]


def test_the_scale_is_alpha_over_rank_and_one_by_default():
    assert placed(small("llama"), rank=6).scale == 1.0
    assert placed(small("llama"), rank=6, lora_alpha=3.0).scale == 0.5


def test_a_placement_survives_json():
    placement = placed(small("llama"), "1", "mlp", lora_alpha=2.5, lora_dropout=0.1)
    assert Placement.from_dict(placement.to_dict()) == placement


def test_a_block_without_linear_modules_is_told():
    model = small("llama")
    model.model.layers[1] = nn.Identity()
    with pytest.raises(PlacementError, match=r"Identity has no torch\.nn\.Linear"):
        placed(model, "1")


def test_a_block_without_an_mlp_cannot_have_a_bypass():
    model = small("llama")
    model.model.layers[1] = nn.ModuleDict({"mixer": nn.Linear(2, 2)})
    with pytest.raises(PlacementError, match="no MLP block among mixer"):
        placed(model, "1", "mlp-bypass")


def test_a_group_that_matches_nothing_is_not_offered():
    model = small("llama")
    model.model.layers[1] = nn.ModuleDict({"mixer": nn.Linear(2, 2)})
    with pytest.raises(PlacementError) as caught:
        placed(model, "1", "mlp")
    assert str(caught.value) == "unknown module 'mlp'; allowed: all-linear, mixer; or mlp-bypass alone"


def test_a_bypass_in_a_union_is_told_to_stand_alone():
    with pytest.raises(PlacementError, match="mlp-bypass stands alone"):
        placed(small("llama"), "1", "q_proj,mlp-bypass")


@pytest.mark.parametrize(
    ("modules", "names"),
    [
        ("attention", ["attn.c_attn", "attn.c_proj"]),
        ("mlp", ["mlp.c_fc", "mlp.c_proj"]),
        ("all-linear", ["attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"]),
        ("c_proj", ["attn.c_proj", "mlp.c_proj"]),
        ("mlp.c_proj", ["mlp.c_proj"]),
    ],
)
def test_gpt2s_modules_are_taken_by_name_or_group(modules, names):
    placement = placed(gpt2(), "1", modules)
    assert [site.path.removeprefix("transformer.h.1.") for site in placement.sites] == names


def test_gpt2s_sites_have_the_sizes_of_what_goes_in_and_out():
    sizes = {site.path.rsplit(".", 1)[-1]: (site.num_in, site.num_out) for site in placed(gpt2(), "1").sites[::2]}
    assert sizes == {"c_attn": (32, 96), "c_fc": (32, 128)}


def test_an_adapter_adds_to_gpt2s_modules():
    model = gpt2()
    adapter = awake(placed(model, "1", "c_fc"))
    module = model.transformer.h[1].mlp.c_fc
    x_BTD = torch.randn(2, 3, 32, generator=torch.Generator().manual_seed(1))
    plain = module(x_BTD)
    with attached(model, adapter), torch.no_grad():
        assert close(module(x_BTD), plain + x_BTD @ adapter.lora_A[0].T @ adapter.lora_B[0].T)
