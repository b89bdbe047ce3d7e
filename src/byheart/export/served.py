"""``--to peft``: a PEFT adapter directory as vLLM and SGLang load it.

Both allocate their buffers for one of a few ranks; the rank is padded with zeros up to the next of them, which adds
nothing, and lora_alpha grows with it, so that the scale stays. The config says what these loaders read and what stock
PEFT needs beside it: they take an adapter's layers from the names of its tensors, PEFT from ``layers_to_transform``.
"""

from __future__ import annotations

import json
import shlex
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from byheart.artifacts import write_bytes
from byheart.errors import BundleError
from byheart.export.bundle import Bundle
from byheart.export.manifest import ADAPTER_CONFIG_FILE, WEIGHTS_FILE
from byheart.export.output import refuse_occupied, whole_directory
from byheart.export.peft import PEFT_PREFIX
from byheart.export.readable import read_config, refuse_misread
from byheart.export.request import ENGINES, Exported, ExportRequest, Listener
from byheart.model.placement import Placement

RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""What vLLM's ``--max-lora-rank`` takes."""
LOADERS = ENGINES["peft"]


def export(bundle: Bundle, request: ExportRequest, listener: Listener) -> Exported:
    """Writes the padded adapter.

    Raises:
        BundleError: the engines would misread the adapter, or its rank is above the largest that they take.
        ArtifactError: something else is where it is to be written.
    """
    refuse_misread(bundle.manifest, request.directory, request.name)
    placement = bundle.adapter.placement
    rank = padded_rank(placement.lora_rank)
    if read_config(request.directory).get("layers_to_transform") is None:
        raise BundleError(
            f"modules {', '.join(placement.module_names)} are adapted by their full paths, since their names alone "
            f"mean others too; {LOADERS} go by names; export with --to merged"
        )
    refuse_occupied(request)
    if rank != placement.lora_rank:
        listener.say(f"rank {placement.lora_rank} is padded with zeros to {rank}")
    with whole_directory(request, bundle.certificate.subject.adapter_sha256) as working:
        tensors = padded(bundle.adapter.tensors(bundle.base.dtype), rank)
        named = {PEFT_PREFIX + name: tensor for name, tensor in tensors.items()}
        write_bytes(working / WEIGHTS_FILE, save(named, {"format": "pt"}))
        config = served_config(placement, rank, bundle.base.location)
        write_bytes(working / ADAPTER_CONFIG_FILE, (json.dumps(config, indent=2, sort_keys=True) + "\n").encode())
    base, module = bundle.base.location, f"{request.directory.resolve().name}={request.out}"
    vllm = ["vllm", "serve", base, "--enable-lora", "--max-lora-rank", str(rank), "--lora-modules", module]
    sglang = ["python", "-m", "sglang.launch_server", "--model-path", base, "--lora-paths", module]
    how = (("vllm", shlex.join(vllm)), ("sglang", shlex.join(sglang)))
    return Exported(request.out, (ADAPTER_CONFIG_FILE, WEIGHTS_FILE), how)


def padded_rank(lora_rank: int) -> int:
    """The smallest of `RANKS` that holds ``lora_rank``.

    >>> padded_rank(9)
    16

    Raises:
        BundleError: it is above the largest.
    """
    fitting = next((rank for rank in RANKS if rank >= lora_rank), None)
    if fitting is None:
        raise BundleError(
            f"lora_rank {lora_rank} is above {RANKS[-1]}, the largest that {LOADERS} take; learn again with a smaller "
            "--lora-rank and more --layers, or export with --to merged"
        )
    return fitting


def padded(tensors: dict[str, Tensor], rank: int) -> dict[str, Tensor]:
    """A's rows and B's columns filled up with zeros to ``rank``: the same product."""

    def filled(name: str, tensor: Tensor) -> Tensor:
        sides = (0, 0, 0, rank - tensor.shape[0]) if ".lora_A." in name else (0, rank - tensor.shape[1])
        return torch.nn.functional.pad(tensor, sides).contiguous()

    return {name: filled(name, tensor) for name, tensor in tensors.items()}


def served_config(placement: Placement, rank: int, base_location: str) -> dict[str, Any]:
    """The content of ``adapter_config.json``: one rank, one scale, modules by name."""
    lora_alpha = placement.scale * rank
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base_location,
        "r": rank,
        "lora_alpha": int(lora_alpha) if lora_alpha == int(lora_alpha) else lora_alpha,
        "target_modules": list(placement.module_names),
        "layers_to_transform": list(placement.layers),
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "use_rslora": False,
        "use_dora": False,
        "modules_to_save": None,
        "inference_mode": True,
    }
