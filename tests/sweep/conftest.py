"""A grid of the tiny model's, and its cells."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from byheart.model.base import Base
from byheart.sweep.cell import Cell
from byheart.sweep.engines import Job
from byheart.sweep.grid import expand, read_grid
from byheart.sweep.prepare import prepare
from conftest import PAIRS


@pytest.fixture(scope="session")
def four_records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tests' four records, as a file."""
    path = tmp_path_factory.mktemp("records") / "four.jsonl"
    lines = (json.dumps({"prompt": prompt, "completion": answer}) + "\n" for prompt, answer in PAIRS)
    path.write_text("".join(lines), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def tiny_grid(tiny_model_directory: Path, four_records: Path) -> dict[str, Any]:
    """Six cells: three ranks, two seeds."""
    return {
        "base": {
            "model": {"name": str(tiny_model_directory), "dtype": "float32", "device": "cpu"},
            "placement": {"layers": "all", "lora_rank": 1},
            "method": {"name": "sft", "margin": 0},
            "learn": {"epochs": 3, "batch_size": 4},
        },
        "task": {"name": "records", "source": str(four_records)},
        "axes": {"lora_rank": [1, 2, 4], "seed": [1, 2]},
    }


@pytest.fixture(scope="session")
def cells_of(tiny_base: Base) -> Callable[[Mapping[str, Any]], list[Cell]]:
    """The cells of a grid, by the tiny model's tokenizer."""
    return lambda grid: prepare(expand(read_grid(grid)), tokenizer_of=lambda *_: tiny_base.tokenizer)


@pytest.fixture(scope="session")
def tiny_cells(tiny_grid: dict[str, Any], cells_of: Callable[[Mapping[str, Any]], list[Cell]]) -> list[Cell]:
    """The cells of `tiny_grid`."""
    return cells_of(tiny_grid)


@pytest.fixture(scope="session")
def long_job(tiny_cells: list[Cell]) -> Job:
    """One that does not end by itself while a test looks."""
    run = tiny_cells[0].run.model_dump(mode="json")
    endless = {"epochs": 1_000_000, "plateau_epochs": 1_000_000, "decay": "constant", "learning_rate": 1e-9}
    return Job("endless", {**run, "learn": {**run["learn"], **endless}}, tiny_cells[0].plain_records())
