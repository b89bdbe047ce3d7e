"""The base model: found, loaded, frozen, and named so that a certificate can say what it was measured on."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from byheart.errors import ModelError, SettingsError
from byheart.fingerprint import file_sha256, fingerprint
from byheart.model.catalog import Source, converted_from, locate
from byheart.model.config import ModelConfig
from byheart.model.cores import num_cores
from byheart.model.quiet import quiet_transformers
from byheart.model.rope import short_context

_NOT_ARCHITECTURE = {
    "_attn_implementation",
    "_commit_hash",
    "_name_or_path",
    "architectures",
    "attn_implementation",
    "dtype",
    "id2label",
    "label2id",
    "torch_dtype",
    "transformers_version",
    "use_cache",
}
"""Entries of a model's config that change nothing of what its weights compute."""

KEPT_KERNELS = 256
"""That oneDNN keeps of those it compiles for each shape of a product; its own default, 1,024, comes to 0.4 GB."""
DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32, "float16": torch.float16}


@dataclass(frozen=True, slots=True)
class BaseIdentity:
    """What a base model is, and the numerics it runs under; part of every certificate.

    Attributes:
        name: as the user gave it.
        architecture: transformers' class name.
        revision: the hub's commit; None for a directory.
        weights_sha256: over the architecture's settings and the names and contents of the weight files (of a model of
            our own conversion: over what it was made of); None where the files are not at hand.
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
        """Whether both are surely the same model, whatever the numerics and the name used: by hash, or where one's is
        not known by name and revision.
        """
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
        max_tokens: the longest sequence the model takes, tokens, whatever it stands beside; None where its config does
            not say. For models whose rotary embeddings change with the batch's longest sequence it is `short_context`.
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

    def refuse_other_numerics(self, asked: ModelConfig) -> None:
        """Raises SettingsError where settings ask for other numerics than this model has."""
        for name in ("dtype", "attention"):
            wanted, own = getattr(asked, name), getattr(self.identity, name)
            if wanted not in ("auto", own):
                raise SettingsError(
                    f"model.{name} is {wanted}, and the model that was given has {own}; leave the setting out, or give "
                    "the model's name, so that it is loaded so"
                )


def load(config: ModelConfig, announce: Callable[[str], None] = lambda _: None) -> Base:
    """Loads and freezes the model that ``config`` names. Safetensors only; no remote code unless asked for.

    From here on torch computes with no more threads than this process has cores for; see `byheart.model.cores`. Where
    oneDNN has not computed yet and the environment does not say otherwise, it keeps `KEPT_KERNELS` kernels.

    Args:
        config: which model, which numerics.
        announce: told in a sentence when something takes long.

    Raises:
        ModelError: not found, not loadable, or no causal language model; with transformers' own reason.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(min(torch.get_num_threads(), num_cores()))
    if not {f"{name}_PRIMITIVE_CACHE_CAPACITY" for name in ("ONEDNN", "DNNL")} & os.environ.keys():
        os.environ["ONEDNN_PRIMITIVE_CACHE_CAPACITY"] = str(KEPT_KERNELS)
    source = locate(config.name, announce)
    device = _device(config.device)
    dtype = DTYPES[_dtype_name(config.dtype, device)]
    common: dict[str, Any] = {"revision": config.revision, "trust_remote_code": config.trust_remote_code}
    attention = {} if config.attention == "auto" else {"attn_implementation": config.attention}
    try:
        with quiet_transformers():
            tokenizer = AutoTokenizer.from_pretrained(source.location, **common)
            model = AutoModelForCausalLM.from_pretrained(
                source.location, dtype=dtype, use_safetensors=True, **attention, **common
            )
    except Exception as error:  # damaged files come out of transformers as whatever its parsers stumble over
        raise ModelError(_why_not(config, source, error)) from error
    directory = Path(source.location) if source.is_local else _snapshot(source.location, config.revision)
    revision = None if source.is_local or directory is None else directory.name
    weights_sha256 = _weights_sha256(directory, model.config)
    return freeze(nn.Module.to(model, device), tokenizer, source, weights_sha256, revision)


def freeze(
    model: Any, tokenizer: Any, source: Source, weights_sha256: str | None = None, revision: str | None = None
) -> Base:
    """A `Base` from a model that is already in memory."""
    model.eval().requires_grad_(False)
    identity = BaseIdentity(
        name=source.name,
        architecture=type(model).__name__,
        revision=revision or getattr(model.config, "_commit_hash", None),
        weights_sha256=weights_sha256,
        dtype=str(model.dtype).removeprefix("torch."),
        device=model.device.type,
        attention=model.config._attn_implementation,
    )
    limits = (getattr(model.config, "max_position_embeddings", None), short_context(model.config))
    return Base(model, tokenizer, identity, source.location, min((n for n in limits if n), default=None))


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


def _why_not(config: ModelConfig, source: Source, error: Exception) -> str:
    """Why a model cannot be loaded, in one line, and the mend where one is known."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or ["no reason given"]
    reason = " ".join(lines[: 2 if lines[0].endswith(":") else 1])
    if not isinstance(error, OSError | ValueError | ImportError | RuntimeError):  # a bare KeyError says only its key
        reason = f"{type(error).__name__}: {reason}"
    message = f"cannot load model {config.name!r} from {source.location}: {reason}"
    if not source.is_local and source.name == source.location and isinstance(error, OSError):
        message = f"there is no directory {config.name!r} here, and as a model of the hub it cannot be loaded: {reason}"
    if config.attention != "auto" and ("attention" in reason.lower() or "flash" in reason.lower()):
        message += f" (attention is {config.attention}; set attention: auto or eager)"
    return message


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


def as_current(device: torch.device) -> AbstractContextManager[object]:
    """A card is the current one for the length of the block: what names none means that, as pinned memory and fused
    kernels do.
    """
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def _dtype_name(name: str, device: torch.device) -> str:
    if name != "auto":
        return name
    if device.type == "cuda":
        with as_current(device):
            return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    if device.type == "cpu":
        fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
        return "bfloat16" if fast else "float32"
    return "float32"


def _weights_sha256(directory: Path | None, config: Any) -> str | None:
    """Hash over what a model computes with: its architecture's settings, and names and contents of its weight files.

    The files are read once more than loading does, about 1 GB a second. None where they are not on this machine's disk.
    """
    if directory is None:
        return None
    if origin := converted_from(directory):
        return fingerprint({"converted": origin})
    files = _weight_files(directory)
    if not files:
        return None
    return fingerprint(
        {"config": _architecture(config), "files": [[file.name, file_sha256(file)] for file in files]},
    )


def _architecture(config: Any) -> Any:
    """What of a transformers config decides what the weights compute, as plain values."""

    def kept(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: kept(item) for key, item in value.items() if key not in _NOT_ARCHITECTURE}
        return [kept(item) for item in value] if isinstance(value, list) else value

    return kept(json.loads(config.to_json_string(use_diff=True)))


def _weight_files(directory: Path) -> list[Path]:
    """The safetensors files that transformers loads from ``directory``, by name."""
    if (single := directory / "model.safetensors").is_file():
        return [single]
    if (index := directory / "model.safetensors.index.json").is_file():
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        return [directory / name for name in sorted(names)]
    return sorted(directory.glob("*.safetensors"))


def _snapshot(hub_id: str, revision: str | None) -> Path | None:
    """Where the hub's files of a model that was just loaded lie in the local cache, in a directory named by their
    commit; asks no network. transformers itself no longer says which commit it loaded.
    """
    from transformers.utils.hub import cached_file

    try:
        path = cached_file(hub_id, "config.json", revision=revision, local_files_only=True)
    except (OSError, ValueError):
        return None
    return Path(path).parent if path else None
