"""A placement in PEFT's words: the ``adapter_config.json`` that PEFT and the serving engines read.

Modules are given by name and layer, which every engine reads, where that means the placement's sites and no other;
else by their full paths, as in GPT-2, whose attention and MLP both have a ``c_proj``.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path

from byheart.model.placement import Placement

CONFIG_FILE = "adapter_config.json"


def peft_config(placement: Placement, base_location: str) -> bytes:
    """The content of ``adapter_config.json`` for a placement of linear modules.

    Args:
        placement: no bypass.
        base_location: directory or hub id of the base model.
    """
    from peft import LoraConfig

    by_name = placement.names_suffice
    config = LoraConfig(
        task_type="CAUSAL_LM",
        base_model_name_or_path=base_location,
        r=placement.lora_rank,
        lora_alpha=placement.lora_alpha,  # type: ignore[arg-type] - PEFT takes floats and says int
        target_modules=list(placement.module_names) if by_name else [site.path for site in placement.sites],
        layers_to_transform=list(placement.layers) if by_name else None,
        fan_in_fan_out=placement.fan_in_fan_out,
        lora_dropout=0.0,
        bias="none",
        inference_mode=True,
    )
    with tempfile.TemporaryDirectory() as temporary:
        config.save_pretrained(temporary)
        values = json.loads((Path(temporary) / CONFIG_FILE).read_text(encoding="utf-8"))
    # A set in PEFT: put in order here, so that equal runs give equal bytes.
    values["target_modules"] = sorted(values["target_modules"])
    if values["lora_alpha"] == int(values["lora_alpha"]):
        values["lora_alpha"] = int(values["lora_alpha"])
    return (json.dumps(values, indent=2, sort_keys=True) + "\n").encode()


def as_told(placement: Placement, content: bytes) -> Placement:
    """``placement`` with what only the ``content`` of its ``adapter_config.json`` keeps.

    Raises:
        ValueError: it is no JSON.
    """
    values = json.loads(content)
    by_name = values["layers_to_transform"] is not None
    return replace(placement, names_suffice=by_name, fan_in_fan_out=values["fan_in_fan_out"])
