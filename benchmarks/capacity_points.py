"""The adapters that `capacity.py` tries: a placement, a rank and a method each, from roomy to too small."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

BATCH_SIZE = 10


@dataclass(frozen=True)
class Point:
    """One adapter to be tried.

    Attributes:
        task: phonebook or random.
        layers: as a placement's settings name them.
        modules: likewise.
        lora_rank: of the adapter.
        method: that trains it.
        margin: that it is trained with; without any, tokens hover about the threshold itself, and those that fall below
            it by chance keep a run from ending.
    """

    task: str
    layers: str
    modules: str
    lora_rank: int
    method: str = "memft-ot"
    margin: float = 0.0

    @property
    def name(self) -> str:
        """What ``--points`` matches."""
        margin = f"/margin {self.margin:g}" if self.margin else ""
        return f"{self.task}/{self.layers}/{self.modules}/r{self.lora_rank}/{self.method}{margin}"

    @property
    def config(self) -> dict[str, Any]:
        """Settings of `byheart.learn`."""
        return {
            "placement": {"layers": self.layers, "modules": self.modules, "lora_rank": self.lora_rank},
            "method": {"name": self.method, "margin": self.margin},
            "learn": {"batch_size": BATCH_SIZE},
        }


POINTS = (
    Point("phonebook", "24", "down_proj", 4, "sft"),
    Point("phonebook", "24", "down_proj", 4, "memft-ot"),
    Point("phonebook", "24", "down_proj", 4, "memft-sw"),
    Point("phonebook", "24", "down_proj", 4, "memft-sw-curriculum"),
    Point("phonebook", "24", "down_proj", 3),
    Point("phonebook", "24", "down_proj", 2),
    Point("phonebook", "24", "down_proj", 1),
    Point("phonebook", "20", "down_proj", 4),
    Point("phonebook", "20", "down_proj", 3),
    Point("phonebook", "20", "down_proj", 2),
    Point("phonebook", "24", "v_proj", 8),
    Point("phonebook", "24", "v_proj", 4),
    Point("phonebook", "20", "v_proj", 8),
    Point("phonebook", "24", "mlp-bypass", 5),
    Point("phonebook", "24", "mlp-bypass", 4),
    Point("phonebook", "24", "mlp-bypass", 4, margin=0.05),
    Point("phonebook", "24", "mlp-bypass", 3, margin=0.05),
    Point("phonebook", "24", "mlp-bypass", 2, margin=0.05),
    Point("phonebook", "top:1", "attention", 2),
    Point("phonebook", "top:3", "down_proj", 1),
    Point("phonebook", "top:3", "o_proj", 1),
    Point("random", "24", "down_proj", 2, "sft"),
    Point("random", "24", "down_proj", 2, "memft-ot"),
    Point("random", "24", "down_proj", 2, "memft-sw"),
    Point("random", "24", "down_proj", 3),
    Point("random", "24", "down_proj", 1),
    Point("random", "20", "down_proj", 1),
    Point("random", "24", "v_proj", 8),
    Point("random", "24", "v_proj", 4),
    Point("random", "24", "mlp-bypass", 4),
    Point("random", "24", "mlp-bypass", 3),
    Point("random", "24", "mlp-bypass", 3, margin=0.05),
    Point("random", "24", "mlp-bypass", 2),
    Point("random", "top:1", "attention", 1),
)
QUICK_POINTS = (Point("phonebook", "top:3", "all-linear", 2), Point("random", "top:3", "all-linear", 2))
