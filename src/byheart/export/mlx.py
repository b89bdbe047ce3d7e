"""``--to mlx``: the adapter as mlx-lm's ``--adapter-path`` loads it.

mlx-lm adds scale · (x a) b to a module's output, with a in × R and b R × out: PEFT's two matrices, each transposed, and
the scale by its own name. It makes adapters for modules by their paths inside a layer, in the last ``num_layers``
layers, with b zero until the file fills it: a layer or module among them that is not adapted stays as it is.
"""

from __future__ import annotations

import json
import shlex
from typing import Any

from safetensors.torch import save
from torch import Tensor

from byheart.artifacts import write_bytes
from byheart.errors import BundleError
from byheart.export.bundle import Bundle
from byheart.export.manifest import ADAPTER_CONFIG_FILE
from byheart.export.output import refuse_occupied, whole_directory
from byheart.export.readable import refuse_misread
from byheart.export.request import ENGINES, Exported, ExportRequest, Listener
from byheart.model.placement import Placement

ENGINE = ENGINES["mlx"]
ADAPTERS_FILE = "adapters.safetensors"
_MODEL_TYPES = (
    "gemma",
    "gemma2",
    "gemma3_text",
    "granite",
    "llama",
    "mistral",
    "olmo2",
    "phi3",
    "qwen2",
    "qwen3",
    "smollm3",
)
"""Models whose modules have the same paths in mlx-lm as in transformers."""
_LAYERS_PATH = "model.layers."


def export(bundle: Bundle, request: ExportRequest, listener: Listener) -> Exported:
    """Writes mlx-lm's two files.

    Raises:
        BundleError: mlx-lm would misread the adapter, or names the model's modules otherwise.
        ArtifactError: something else is where it is to be written.
    """
    refuse_misread(bundle.manifest, request.directory, request.name)
    model_type = bundle.base.model.config.model_type
    sites = bundle.adapter.placement.sites
    if model_type not in _MODEL_TYPES or not all(site.path.startswith(_LAYERS_PATH) for site in sites):
        raise BundleError(
            f"nobody has seen that {ENGINE} calls the modules of {model_type!r} as transformers does; allowed: "
            f"{', '.join(_MODEL_TYPES)}; export with --to merged and convert that"
        )
    refuse_occupied(request)
    with whole_directory(request, bundle.certificate.subject.adapter_sha256) as working:
        tensors = mlx_tensors(bundle.adapter.tensors(bundle.base.dtype))
        write_bytes(working / ADAPTERS_FILE, save(tensors, {"format": "mlx"}))
        config = mlx_config(bundle.adapter.placement, bundle.base.model.config.num_hidden_layers, bundle.base.location)
        write_bytes(working / ADAPTER_CONFIG_FILE, (json.dumps(config, indent=2, sort_keys=True) + "\n").encode())
    files = ["--model", bundle.base.location, "--adapter-path", str(request.out)]
    command = shlex.join(["mlx_lm.generate", *files, "--temp", "0", "--prompt", "PROMPT"])
    return Exported(request.out, (ADAPTER_CONFIG_FILE, ADAPTERS_FILE), (("mlx-lm", command),))


def mlx_tensors(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """``….lora_A.weight`` [R, in] → ``….lora_a`` [in, R], ``….lora_B.weight`` [out, R] → ``….lora_b`` [R, out]."""
    names = {".lora_A.weight": ".lora_a", ".lora_B.weight": ".lora_b"}
    renamed: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        suffix = next(suffix for suffix in names if name.endswith(suffix))
        renamed[name.removesuffix(suffix) + names[suffix]] = tensor.T.contiguous()
    return renamed


def mlx_config(placement: Placement, num_layers: int, base_location: str) -> dict[str, Any]:
    """The content of mlx-lm's ``adapter_config.json``.

    Args:
        placement: of the adapter.
        num_layers: of the model.
        base_location: directory or hub id of the base model.
    """
    keys = {site.path.removeprefix(_LAYERS_PATH).split(".", 1)[1] for site in placement.sites}
    return {
        "fine_tune_type": "lora",
        "model": base_location,
        "num_layers": num_layers - placement.layers[0],
        "lora_parameters": {
            "keys": sorted(keys),
            "rank": placement.lora_rank,
            "scale": placement.scale,
            "dropout": 0.0,
        },
    }
