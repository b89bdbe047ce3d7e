"""What an engine would misread in silence, refused with the reason before anything is written.

llama.cpp, MLX, vLLM and SGLang read an adapter's matrices, one rank and one scale. What a config says beyond that they
leave out without a word: the answers would be other ones.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from byheart.errors import ArtifactError, BundleError
from byheart.export.manifest import ADAPTER_CONFIG_FILE, Manifest
from byheart.export.request import ENGINES, ExportName

_MISREAD = {
    "rank_pattern": "ranks of single modules",
    "alpha_pattern": "scales of single modules",
    "use_dora": "DoRA's magnitudes",
    "use_rslora": "rsLoRA's scale",
    "modules_to_save": "modules saved whole",
    "trainable_token_indices": "single tokens' embeddings",
    "target_parameters": "parameters that are no module's",
    "lora_bias": "biases of the adapter",
    "layer_replication": "repeated layers",
    "alora_invocation_tokens": "an adapter that works from certain tokens on",
    "use_qalora": "inputs pooled in groups",
}
"""Entry of adapter_config.json → what it stands for; engines leave one of them out at the least."""
_NOT_LAYERS = ("lm_head", "embed_tokens", "wte", "embed_out")


def refuse_misread(manifest: Manifest, directory: Path, to: ExportName) -> None:
    """Makes sure that whoever loads an export computes with a bundle's adapter what was certified.

    Args:
        manifest: of the bundle.
        directory: of the bundle.
        to: the export's name.

    Raises:
        BundleError: it would leave something out, or has weights turned round.
        ArtifactError: the adapter's config is missing or no JSON.
    """
    engine = ENGINES[to]
    if manifest.placement["is_bypass"]:
        raise BundleError(
            f"modules mlp-bypass: a bypass around the MLP block is no LoRA of any module, so {engine} cannot load it; "
            "learn again with --modules mlp or all-linear to export"
        )
    config = read_config(directory)
    for entry, meaning in _MISREAD.items():
        if config.get(entry):
            raise BundleError(
                f"{ADAPTER_CONFIG_FILE} has {entry}: {json.dumps(config[entry])} ({meaning}), which is not read by "
                f"{engine}: the answers would be other ones; export an adapter of one rank and one scale"
            )
    if config.get("bias", "none") != "none":
        raise BundleError(
            f"{ADAPTER_CONFIG_FILE} has bias: {config['bias']!r}, which is not read by {engine}; allowed: none"
        )
    outside = [site["path"] for site in manifest.placement["sites"] if site["path"].rsplit(".", 1)[-1] in _NOT_LAYERS]
    if outside:
        raise BundleError(
            f"the adapter changes {', '.join(outside)}, which {engine} would leave out or tie to the embeddings; "
            "learn again with modules inside the layers"
        )
    if to != "merged" and config.get("fan_in_fan_out"):
        raise BundleError(
            f"the adapter is of Conv1D modules (fan_in_fan_out), as GPT-2 has, which have other names and "
            f"shapes in {engine}; export with --to merged"
        )


def read_config(directory: Path) -> dict[str, Any]:
    """A bundle's ``adapter_config.json``.

    Raises:
        ArtifactError: missing or no JSON object.
    """
    path = directory / ADAPTER_CONFIG_FILE
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ArtifactError(f"cannot read the adapter's config {path}: {error}") from error
    if not isinstance(config, dict):
        raise ArtifactError(f"{path} holds a {type(config).__name__}, expected an object")
    return config
