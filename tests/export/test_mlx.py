import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from byheart.errors import BundleError
from byheart.export.bundle import Bundle
from byheart.export.mlx import export, mlx_config
from byheart.export.request import ExportRequest
from byheart.model.adapter import attached
from byheart.model.placement import Placement
from byheart.model.sites import Site
from byheart.progress import Silent


@pytest.fixture(scope="module")
def written(learnt, tiny_base, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("mlx") / "vault"
    export(Bundle.read(learnt, tiny_base), ExportRequest.parse(learnt, "mlx", out=out), Silent())
    return out


def as_mlx_lm_loads(model, directory: Path):
    """What mlx-lm makes of the directory: for each module that it gives an adapter a function that adds it.

    In its last ``num_layers`` layers, each module whose path inside the layer is among the keys gets x + scale·(x a) b,
    with b zero; then each tensor of the file must be one of those and have its shape.
    """
    config = json.loads((directory / "adapter_config.json").read_text())
    assert config["fine_tune_type"] == "lora"
    parameters = config["lora_parameters"]
    shapes: dict[str, tuple[int, int]] = {}
    first = model.config.num_hidden_layers - config["num_layers"]
    for layer in range(first, model.config.num_hidden_layers):
        for path, module in model.model.layers[layer].named_modules():
            if path in parameters["keys"]:
                num_out, num_in = module.weight.shape
                shapes[f"model.layers.{layer}.{path}.lora_a"] = (num_in, parameters["rank"])
                shapes[f"model.layers.{layer}.{path}.lora_b"] = (parameters["rank"], num_out)
    tensors = load_file(directory / "adapters.safetensors")
    assert {name: tuple(tensor.shape) for name, tensor in tensors.items()}.items() <= shapes.items()
    handles = []
    for name in (name.removesuffix(".lora_b") for name in shapes if name.endswith(".lora_b")):
        if f"{name}.lora_b" in tensors:  # else b stays zero
            a, b = tensors[f"{name}.lora_a"], tensors[f"{name}.lora_b"]

            def hook(module, inputs, output, a=a, b=b):
                return output + parameters["scale"] * ((inputs[0] @ a) @ b)

            handles.append(model.get_submodule(name).register_forward_hook(hook))
    return handles


def test_as_mlx_lm_loads_it_the_logits_are_those_of_the_adapter(written, learnt, tiny_base, tiny_encoded):
    tokens = torch.tensor([tiny_encoded.records[0].prompt_ids])
    adapter = Bundle.read(learnt, tiny_base).adapter
    with torch.no_grad(), attached(tiny_base.model, adapter):
        expected = tiny_base.model(tokens).logits
    handles = as_mlx_lm_loads(tiny_base.model, written)
    try:
        with torch.no_grad():
            got = tiny_base.model(tokens).logits
    finally:
        for handle in handles:
            handle.remove()
    with torch.no_grad():
        bare = tiny_base.model(tokens).logits
    assert torch.allclose(got, expected, atol=1e-4)
    assert not torch.allclose(got, bare, atol=1e-1)


def test_it_has_mlx_lms_two_files_and_our_marker(written):
    names = {path.name for path in written.iterdir()}
    assert names == {"adapters.safetensors", "adapter_config.json", "byheart-export.json"}


def test_layers_above_the_lowest_and_the_scale_are_told():
    sites = tuple(Site(f"model.layers.{layer}.mlp.down_proj", 8, 4) for layer in (3, 5))
    config = mlx_config(Placement((3, 5), sites, 2, 3.0), 8, "somewhere")
    assert config["num_layers"] == 5
    assert config["lora_parameters"] == {"keys": ["mlp.down_proj"], "rank": 2, "scale": 1.5, "dropout": 0.0}


def test_a_model_whose_module_names_nobody_has_compared_is_refused(own_bundle, monkeypatch):
    directory, bundle = own_bundle
    monkeypatch.setattr(bundle.base.model.config, "model_type", "nobodys")
    with pytest.raises(BundleError, match="calls the modules of 'nobodys' as transformers does; allowed: gemma"):
        export(bundle, ExportRequest.parse(directory, "mlx"), Silent())
    assert not (directory / "mlx").exists()
