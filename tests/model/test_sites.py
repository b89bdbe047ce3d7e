import re
import warnings

import pytest
import torch
from torch import nn

from byheart.errors import PlacementError
from byheart.model.adapter import attached
from byheart.model.sites import PartialPlacementWarning
from models_for_tests import MIXTURES, awake, gpt2, placed, random_tokens, small, with_listed_experts

FUSED = {"mlp.experts.gate_up_proj", "mlp.experts.down_proj"}
ROUTERS = {
    "mixtral": {"mlp.gate"},
    "olmoe": {"mlp.gate"},
    "qwen3_moe": {"mlp.gate"},
    "qwen2_moe": {"mlp.gate", "mlp.shared_expert_gate"},
    "phimoe": {"mlp.router"},
    "deepseek_v3": {"mlp.gate"},
}
MISREAD = {"mlp.shared_experts.gate_proj", "mlp.shared_experts.up_proj", "mlp.shared_experts.down_proj"}


def silently_placed(model, layers: str, modules: str):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return placed(model, layers, modules)


def names(placement) -> list[str]:
    return [site.path.split(".", 3)[-1] for site in placement.sites]


@pytest.mark.parametrize("family", MIXTURES)
def test_what_all_linear_leaves_out_of_a_mixture_is_told_by_path_and_reason(family):
    with pytest.warns(PartialPlacementWarning) as caught:
        placed(small(family), "1")
    [message] = [str(each.message) for each in caught]
    for path in FUSED | ROUTERS[family] | (MISREAD if family == "deepseek_v3" else set()):
        assert path in message
    for reason in ("router", "no linear module"):
        assert f"({reason})" in message


@pytest.mark.parametrize("family", MIXTURES)
def test_no_router_is_adapted(family):
    with pytest.warns(PartialPlacementWarning):
        placement = placed(small(family), "1")
    assert placement.sites
    assert not ROUTERS[family] & set(names(placement))


@pytest.mark.parametrize("family", MIXTURES)
def test_nothing_is_told_where_all_that_was_asked_for_is_adapted(family):
    assert silently_placed(small(family), "1", "attention").sites


@pytest.mark.parametrize("family", ["llama", "phi3", "gemma3"])
def test_a_dense_model_leaves_nothing_to_tell(family):
    assert silently_placed(small(family), "all", "all-linear").sites


def test_gpt2_leaves_nothing_to_tell():
    assert silently_placed(gpt2(), "all", "all-linear").sites


@pytest.mark.parametrize("family", ["mixtral", "olmoe", "qwen3_moe", "phimoe", "deepseek_v3"])
@pytest.mark.parametrize("modules", ["mlp", "down_proj"])
def test_modules_of_which_nothing_can_be_adapted_are_an_error_with_what_there_is_and_why(family, modules):
    with pytest.raises(PlacementError) as caught:
        placed(small(family), "1", modules)
    what_and_why, allowed = str(caught.value).split("; allowed: ")
    assert what_and_why.startswith(f"no module of {modules!r} can be adapted: mlp.")
    assert "mlp.experts.down_proj (no linear module)" in what_and_why
    assert (ROUTERS[family] < set(re.findall(r"[\w.]+", what_and_why))) == (modules == "mlp")
    assert allowed.startswith("all-linear, attention, k")


def test_a_typing_error_is_told_without_what_it_does_not_mean():
    with pytest.raises(PlacementError, match=r"mlp-bypass alone$"):
        placed(small("mixtral"), "1", "q_porj")


def test_a_shared_expert_that_peft_reads_rightly_is_adapted():
    with pytest.warns(PartialPlacementWarning):
        placement = placed(small("qwen2_moe"), "1", "mlp")
    assert names(placement) == [f"mlp.shared_expert.{name}" for name in ("gate_proj", "up_proj", "down_proj")]


def test_a_dense_layer_that_peft_misreads_as_experts_is_not_adapted():
    with pytest.warns(PartialPlacementWarning, match=r"mlp\.down_proj \(misread by PEFT") as caught:
        placement = placed(small("deepseek_v3"), "0")
    assert "experts." not in str(caught[0].message)
    assert not any("mlp" in name for name in names(placement))


def test_a_dense_layer_of_its_own_kind_is_adapted_beside_experts_in_a_list():
    with pytest.warns(PartialPlacementWarning, match=r"not adapted: mlp\.gate \(router\)$"):
        placement = placed(with_listed_experts(), "0-1", "mlp")
    dense = [f"mlp.{name}" for name in ("gate_proj", "up_proj", "down_proj")]
    assert names(placement) == [*dense, *(f"mlp.experts.{i}.{name}" for i in range(3) for name in ("w1", "w2"))]


def test_a_gate_without_experts_is_a_module_like_others():
    model = small("llama")
    model.model.layers[1].mlp.gate = nn.Linear(32, 48)
    assert "mlp.gate" in names(silently_placed(model, "1", "mlp"))


def test_a_layer_of_which_nothing_can_be_adapted_is_told_with_the_reason():
    model = small("mixtral")
    model.model.layers[1] = model.model.layers[1].mlp
    with pytest.raises(PlacementError, match=r"MoeBlock has no .* to adapt: gate \(router\); experts\.gate_up_proj, "):
        placed(model, "1")


def test_the_warning_is_once_for_all_layers():
    with pytest.warns(PartialPlacementWarning) as caught:
        placed(small("mixtral"), "all")
    assert str(caught[0].message).count("mlp.experts.down_proj") == len(caught) == 1


def test_a_mixture_runs_with_its_adapter():
    model = small("mixtral")
    adapter = awake(silently_placed(model, "1", "attention"))
    with attached(model, adapter), torch.no_grad():
        assert model(input_ids=random_tokens(1, 5), use_cache=False).logits.isfinite().all()
