"""Settings of the base model and of the adapter's placement."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeAlias

from pydantic import Field, PositiveInt, field_validator

from byheart.settings import Settings

DEFAULT_MODEL = "smollm2-135m"
Dtype: TypeAlias = Literal["auto", "bfloat16", "float32", "float16"]


class ModelConfig(Settings):
    """Which base model, and under which numerics."""

    name: str = DEFAULT_MODEL
    """A short name, a directory (kept as its absolute path), or a hub id."""
    revision: str | None = None
    """The hub's branch, tag or commit."""
    dtype: Dtype = "auto"
    """auto: bfloat16 where the processor multiplies it fast (AMX, AVX512-BF16, CUDA), else float32."""
    device: str = "auto"
    """auto: cuda, then mps, then cpu; or any torch device."""
    attention: Literal["auto", "sdpa", "eager", "flash_attention_2"] = "auto"
    """Attention implementation, as transformers names it. auto: what transformers chooses for the model."""
    trust_remote_code: bool = False
    """Run code that comes with a hub repository. Off: such a model is refused."""

    @field_validator("name")
    @classmethod
    def _absolute(cls, name: str) -> str:
        """A bundle must find its base from any working directory; a short name wins over a directory called so."""
        is_directory = name != DEFAULT_MODEL and Path(name).expanduser().is_dir()
        return str(Path(name).expanduser().resolve()) if is_directory else name


class PlacementConfig(Settings):
    """Where the adapter sits and how large it is."""

    layers: str = "top:3"
    """Union of index, A-B, fraction of the depth, top:N, all. What lies below the lowest one is computed only once."""
    modules: str = "all-linear"
    """Union of module names, mlp, attention, all-linear; or mlp-bypass (the paper's bypass; cannot be exported)."""
    lora_rank: PositiveInt | Literal["auto"] = "auto"
    """auto: planned where there is a calibration for the model and placement, else from the bits there are to learn."""
    lora_alpha: float | None = Field(default=None, gt=0)
    """The adapter's output is scaled by lora_alpha / lora_rank; None: equal to lora_rank, scale 1."""
    lora_dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout on the adapter's input while learning. The paper's scripts have 0.1."""
