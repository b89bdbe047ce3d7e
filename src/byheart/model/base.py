"""The base model: found, loaded, frozen, and named so that a certificate can say what it was measured on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn

from byheart.errors import ModelError
from byheart.fingerprint import file_sha256, fingerprint
from byheart.model.catalog import Source, locate
from byheart.model.config import ModelConfig
from byheart.model.quiet import quiet_transformers

DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32, "float16": torch.float16}


@dataclass(frozen=True, slots=True)
class BaseIdentity:
    """What a base model is, and the numerics it runs under; part of every certificate.

    Attributes:
        name: as the user gave it.
        architecture: transformers' class name.
        revision: the hub's commit; None for a directory.
        weights_sha256: over the names and contents of the weight files; None where only the hub's commit is known.
        dtype: of weights and activations.
        device: type of device, e.g. ``cpu`` or ``cuda``.
        attention: attention implementation.
    """

    name: str
    architecture: str
    revision: str | None
    weights_sha256: str | None
    dtype: str
    device: str
    attention: str

    def same_weights(self, other: BaseIdentity) -> bool:
        """Whether both name the same weights, whatever the numerics and the name used."""
        if self.weights_sha256 and other.weights_sha256:
            return self.weights_sha256 == other.weights_sha256
        return self.name == other.name and self.revision == other.revision

    def to_dict(self) -> dict[str, str | None]:
        """Plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Base:
    """A frozen base model with its tokenizer.

    Attributes:
        model: in eval mode, no parameter of it requires a gradient.
        tokenizer: transformers' tokenizer.
        identity: what was loaded.
        location: the directory or hub id it was loaded from; what PEFT calls ``base_model_name_or_path``.
        max_tokens: the longest sequence the model takes, tokens; None where its config does not say.
    """

    model: Any
    tokenizer: Any
    identity: BaseIdentity
    location: str
    max_tokens: int | None

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.model.device

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights and activations."""
        return self.model.dtype


def load(config: ModelConfig, announce: Callable[[str], None] = lambda _: None) -> Base:
    """Loads and freezes the model that ``config`` names. Safetensors only; no remote code unless asked for.

    Args:
        config: which model, which numerics.
        announce: told in a sentence when something takes long.

    Raises:
        ModelError: not found, not loadable, or no causal language model; with transformers' own reason.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source = locate(config.name, announce)
    device = _device(config.device)
    dtype = DTYPES[_dtype_name(config.dtype, device)]
    common: dict[str, Any] = {"revision": config.revision, "trust_remote_code": config.trust_remote_code}
    try:
        with quiet_transformers():
            tokenizer = AutoTokenizer.from_pretrained(source.location, **common)
            model = AutoModelForCausalLM.from_pretrained(
                source.location, dtype=dtype, attn_implementation=config.attention, use_safetensors=True, **common
            )
    except (OSError, ValueError, ImportError, RuntimeError, SafetensorError) as error:
        raise ModelError(f"cannot load model {config.name!r} from {source.location}: {error}") from error
    return freeze(nn.Module.to(model, device), tokenizer, source, _weights_sha256(source))


def freeze(model: Any, tokenizer: Any, source: Source, weights_sha256: str | None = None) -> Base:
    """A `Base` from a model that is already in memory."""
    model.eval().requires_grad_(False)
    identity = BaseIdentity(
        name=source.name,
        architecture=type(model).__name__,
        revision=getattr(model.config, "_commit_hash", None),
        weights_sha256=weights_sha256,
        dtype=str(model.dtype).removeprefix("torch."),
        device=model.device.type,
        attention=model.config._attn_implementation,
    )
    return Base(model, tokenizer, identity, source.location, getattr(model.config, "max_position_embeddings", None))


def decoder_layers(model: nn.Module) -> tuple[nn.Module, str]:
    """The decoder and the name of its list of layers.

    Raises:
        ModelError: no module list as long as the config's ``num_hidden_layers`` is found.
    """
    decoder = model.get_decoder()  # type: ignore[operator]
    num_layers = getattr(
        model.config, "num_hidden_layers", None
    )  # of several parts, such as text and image, it has none
    for name, child in decoder.named_children():
        if isinstance(child, nn.ModuleList) and len(child) == num_layers:
            return decoder, name
    raise ModelError(
        f"{type(model).__name__} has no list of {num_layers or 'its'} layers; byheart needs a decoder-only text model"
    )


def _device(name: str) -> torch.device:
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ModelError(f"unknown device {name!r}; use auto, cpu, mps, cuda or cuda:N") from error
    count = {"cuda": torch.cuda.device_count, "mps": torch.mps.device_count, "cpu": lambda: 1}.get(device.type)
    if count is not None and (device.index or 0) >= count():
        raise ModelError(f"this machine has no device {name!r}; use auto, or one that is here")
    return device


def _dtype_name(name: str, device: torch.device) -> str:
    if name != "auto":
        return name
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    if device.type == "cpu":
        fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
        return "bfloat16" if fast else "float32"
    return "float32"


def _weights_sha256(source: Source) -> str | None:
    """Hash over names and contents of a directory's weight files; they are read once more than loading does, about 1 GB
    a second.
    """
    if not source.is_local:
        return None
    files = sorted(Path(source.location).glob("*.safetensors"))
    return fingerprint([[file.name, file_sha256(file)] for file in files]) if files else None
