"""All settings of a run in one record: what the YAML given by ``--config`` holds, a section a room."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import Field

from byheart.certification.config import CertifyConfig
from byheart.learning.config import LearnConfig
from byheart.memory.formats import FormatConfig
from byheart.memory.template import EncodeConfig
from byheart.method.config import MethodConfig
from byheart.model.config import ModelConfig, PlacementConfig
from byheart.settings import Settings, merged, read_yaml


class RunConfig(Settings):
    """Settings of ``byheart learn``, with a section for each room."""

    model: ModelConfig = ModelConfig()
    format: FormatConfig = FormatConfig()
    encode: EncodeConfig = EncodeConfig()
    placement: PlacementConfig = PlacementConfig()
    method: MethodConfig = MethodConfig()
    learn: LearnConfig = LearnConfig()
    certify: CertifyConfig = CertifyConfig()
    seed: int = Field(default=42, ge=0, lt=2**31)
    """Of the adapter's first weights, the order of records and dropout."""

    @classmethod
    def build(
        cls,
        source: str | Path | Mapping[str, Any] | None,
        *,
        model: str | None = None,
        method: str | None = None,
        lora_rank: int | str | None = None,
        layers: str | None = None,
        modules: str | None = None,
        margin: float | str | None = None,
        seed: int | None = None,
    ) -> Self:
        """Settings from a YAML file or a mapping, with the arguments that are not None laid on them.

        Args:
            source: a path, nested plain values, or None for the defaults.
            model: ``model.name``.
            method: ``method.name``.
            lora_rank: ``placement.lora_rank``.
            layers: ``placement.layers``.
            modules: ``placement.modules``.
            margin: ``method.margin``.
            seed: ``seed``.

        Raises:
            SettingsError: naming every unknown key, with its nearest, and every value out of its range.
        """
        name = str(source) if isinstance(source, (str, Path)) else "settings"
        values = read_yaml(Path(source)) if isinstance(source, (str, Path)) else dict(source or {})
        given: dict[str, dict[str, Any]] = {
            "model": {"name": model},
            "method": {"name": method, "margin": margin},
            "placement": {"lora_rank": lora_rank, "layers": layers, "modules": modules},
        }
        over: dict[str, Any] = {} if seed is None else {"seed": seed}
        for section, settings in given.items():
            if named := {key: value for key, value in settings.items() if value is not None}:
                over[section] = named
        return cls.parse(merged(values, over), name)

    def identity(self) -> dict[str, Any]:
        """What decides the result: all settings but those that only decide how it is reached."""
        values = self.model_dump(mode="json")
        del values["format"], values["model"]["device"]
        del values["learn"]["checkpoint_seconds"], values["learn"]["activation_memory_bytes"]
        del values["learn"]["report_to"]
        return values
