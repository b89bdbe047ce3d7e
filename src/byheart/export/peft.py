"""An adapter as PEFT saves it: ``adapter_config.json`` and ``adapter_model.safetensors``.

Standard linear modules, one rank for all, no bias, no patterns: what stock ``PeftModel.from_pretrained`` and the
serving engines load. The paper's MLP bypass is no LoRA of any module; it is written under another name, without a PEFT
config, so that nothing loads it by mistake.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from byheart.artifacts import write_bytes
from byheart.errors import ArtifactError
from byheart.export.manifest import BYPASS_FILE, WEIGHTS_FILE
from byheart.model.adapter import Adapter
from byheart.model.peft_config import CONFIG_FILE, as_told, peft_config
from byheart.model.placement import Placement

PEFT_PREFIX = "base_model.model."


def write_adapter(directory: Path, adapter: Adapter, dtype: torch.dtype, base_location: str) -> list[str]:
    """Writes ``adapter`` in ``dtype``; returns the names of the files written.

    Args:
        directory: of the bundle.
        adapter: its fp32 weights are rounded to ``dtype``.
        dtype: of the base model.
        base_location: directory or hub id of the base model.
    """
    tensors = adapter.tensors(dtype)
    if adapter.placement.is_bypass:
        write_bytes(directory / BYPASS_FILE, save(tensors, {"format": "pt"}))
        return [BYPASS_FILE]
    named = {PEFT_PREFIX + name: tensor for name, tensor in tensors.items()}
    write_bytes(directory / WEIGHTS_FILE, save(named, {"format": "pt"}))
    write_bytes(directory / CONFIG_FILE, peft_config(adapter.placement, base_location))
    return [WEIGHTS_FILE, CONFIG_FILE]


def read_adapter(directory: Path, placement: Placement, device: torch.device) -> Adapter:
    """The adapter in ``directory``, in fp32 on ``device``.

    Raises:
        ArtifactError: the weights are missing or not safetensors, or the config beside them is missing or no JSON.
        BundleError: they do not fit ``placement``.
    """
    path = directory / (BYPASS_FILE if placement.is_bypass else WEIGHTS_FILE)
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ArtifactError(f"cannot read the adapter's weights in {path}: {error}") from error
    if not placement.is_bypass:
        try:
            placement = as_told(placement, (directory / CONFIG_FILE).read_bytes())
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise ArtifactError(f"cannot read the adapter's config {directory / CONFIG_FILE}: {error}") from error
    adapter = Adapter(placement, device)
    adapter.load_tensors({name.removeprefix(PEFT_PREFIX): tensor for name, tensor in tensors.items()})
    return adapter.eval()
