"""A preset of the tiny model's: every experiment, a handful of cells of two epochs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

EXPERIMENTS: dict[str, Any] = {
    "law": {
        "task": {"name": "long-context"},
        "axes": {"method": ["sft"], "num_answer_tokens": [8, 12], "lora_rank": [1, 2]},
    },
    "long-context": {
        "task": {"name": "long-context", "num_answer_tokens": 8},
        "axes": {"method": ["sft", "memft-ot", "memft-sw"], "lora_rank": [1, 2]},
    },
    "phonebook": {"task": {"name": "phonebook", "num_pairs": 2}, "axes": {"method": ["sft", "memft-sw-curriculum"]}},
    "phonebook-equal": {
        "task": {"name": "phonebook", "num_pairs": 2},
        "axes": {"method": ["sft", "memft-ot", "memft-sw-curriculum"]},
    },
    "linear-rule": {
        "task": {"name": "linear-rule", "num_pairs": 3, "num_unseen": 4},
        "axes": {"method": ["sft", "memft-ot"]},
    },
    "scenarios": {"task": {"name": "scenarios"}, "axes": {"method": ["memft-ot"]}},
    "convergence": {
        "task": {"name": "phonebook", "num_pairs": 2},
        "axes": {"method": ["sft", "memft-ot", "memft-sw-curriculum"]},
    },
}


@pytest.fixture
def write_preset(tmp_path: Path, tiny_model_directory: Path) -> Callable[..., Path]:
    """Writes a preset of some experiments, and gives its path back."""

    def write(*names: str, **changed: Any) -> Path:
        preset = {
            "about": "made for a test",
            "paper_model": "qwen3-8b",
            "base": {
                "model": {"name": str(tiny_model_directory), "dtype": "float32", "device": "cpu"},
                "placement": {"layers": "all", "lora_rank": 2},
                "method": {"margin": 0, "rest_epochs": 0},
                "learn": {"epochs": 2, "batch_size": 4},
            },
            "experiments": {name: [EXPERIMENTS[name]] for name in names or EXPERIMENTS},
            **changed,
        }
        path = tmp_path / "preset.yaml"
        path.write_text(yaml.safe_dump(preset))
        return path

    return write
