"""The saved config is held against PEFT's own matching, and against how PEFT 0.19 matched."""

import json
import re
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from byheart.model.peft_config import as_told, peft_config
from byheart.model.placement import names_suffice
from byheart.model.sites import PartialPlacementWarning, Site
from models_for_tests import gpt2, placed, small, with_listed_experts

MODELS: dict[str, Callable[[], Any]] = {
    "llama": lambda: small("llama"),
    "gpt2": gpt2,
    "experts in one parameter": lambda: small("mixtral"),
    "shared expert": lambda: small("qwen2_moe"),
    "experts in a list": with_listed_experts,
}
PLACED = [
    ("llama", "1-2", "all-linear"),
    ("llama", "0,3", "down_proj"),
    ("gpt2", "1-2", "all-linear"),
    ("gpt2", "1-2", "mlp"),
    ("gpt2", "all", "attention"),
    ("gpt2", "3", "c_fc"),
    ("experts in one parameter", "1-2", "all-linear"),
    ("shared expert", "1-2", "mlp"),
    ("experts in a list", "1", "mlp"),
    ("experts in a list", "1", "w1"),
    ("experts in a list", "3", "all-linear"),
]


def loosely_placed(name: str, layers: str, modules: str):
    model = MODELS[name]()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PartialPlacementWarning)
        return model, placed(model, layers, modules)


def config_of(placement) -> dict[str, Any]:
    return json.loads(peft_config(placement, "base"))


def matched_by_peft(config: dict[str, Any], paths: list[str]) -> set[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from peft import LoraConfig
        from peft.tuners.tuners_utils import check_target_module_exists
    settings = LoraConfig(**{name: config[name] for name in ("target_modules", "layers_to_transform")})
    return {path for path in paths if check_target_module_exists(settings, path)}


def matched_by_peft_0_19(config: dict[str, Any], paths: list[str]) -> set[str]:
    def matches(path: str) -> bool:
        if path in config["target_modules"]:
            return True
        if not any(path.endswith(f".{name}") for name in config["target_modules"]):
            return False
        number = re.match(r".*\.[^.]*\.(\d+)\.", path)
        layers = config["layers_to_transform"]
        return layers is None or (number is not None and int(number[1]) in layers)

    return {path for path in paths if matches(path)}


@pytest.mark.parametrize("matched", [matched_by_peft, matched_by_peft_0_19])
@pytest.mark.parametrize(("name", "layers", "modules"), PLACED)
def test_the_config_means_the_placements_sites_and_no_other_module(matched, name, layers, modules):
    model, placement = loosely_placed(name, layers, modules)
    paths = [path for path, _ in model.named_modules() if path]
    assert matched(config_of(placement), paths) == {site.path for site in placement.sites}


@pytest.mark.parametrize(
    ("name", "layers", "modules", "by_name"),
    [
        ("llama", "1-2", "mlp", True),
        ("gpt2", "1-2", "all-linear", True),
        ("gpt2", "1-2", "mlp", False),
        ("gpt2", "1-2", "c_fc", True),
        ("experts in one parameter", "1", "all-linear", True),
        ("experts in a list", "1", "all-linear", False),
        ("experts in a list", "1", "attention", True),
    ],
)
def test_names_are_written_where_they_suffice_and_else_paths(name, layers, modules, by_name):
    _, placement = loosely_placed(name, layers, modules)
    config = config_of(placement)
    if by_name:
        assert config["target_modules"] == list(placement.module_names)
        assert config["layers_to_transform"] == list(placement.layers)
    else:
        assert config["target_modules"] == sorted(site.path for site in placement.sites)
        assert config["layers_to_transform"] is None


@pytest.mark.parametrize(
    ("paths", "suffice"),
    [
        (["model.layers.1.mlp.up"], True),
        (["model.layers.1.mlp.up", "model.layers.2.mlp.up"], True),
        (["model.layers.1.mlp.up", "model.layers.1.attn.up"], False),
        (["model.layers.1.mlp.up", "model.vision.layers.1.mlp.up"], False),
        (["model.layers.1.mlp.up", "model.up"], False),
        (["model.layers.1.mlp.up", "up"], False),
        (["model.layers.1.mlp.up", "model.layers.0.experts.1.up"], False),
    ],
)
def test_names_suffice_where_they_mean_no_other_module(paths, suffice):
    assert names_suffice([Site("model.layers.1.mlp.up", 2, 2)], [1], paths) == suffice


def test_names_do_not_suffice_where_the_layer_cannot_be_read_from_the_path():
    assert not names_suffice([Site("layers.1.up", 2, 2)], [1], ["layers.1.up"])


@pytest.mark.parametrize(("name", "fan_in_fan_out"), [("llama", False), ("gpt2", True)])
def test_the_config_says_which_way_the_weights_lie(name, fan_in_fan_out):
    _, placement = loosely_placed(name, "1", "all-linear")
    assert config_of(placement)["fan_in_fan_out"] is fan_in_fan_out


@pytest.mark.parametrize(("name", "modules"), [("llama", "mlp"), ("gpt2", "mlp"), ("gpt2", "all-linear")])
def test_a_placement_from_a_manifest_is_told_to_peft_as_it_was(name, modules):
    _, placement = loosely_placed(name, "1", modules)
    content = peft_config(placement, "base")
    again = as_told(type(placement).from_dict(placement.to_dict()), content)
    assert peft_config(again, "base") == content
