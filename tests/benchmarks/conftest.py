"""The benchmarks are scripts beside the package: they import one another by their place."""

# pyright: reportMissingImports=false

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tokenizers_for_tests import chat_tokenizer

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.append(str(BENCHMARKS))


@pytest.fixture
def small_shape(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A shape for the tests' tokenizer, known to the race as ``small``."""
    from peers import race, shapes

    shape = shapes.Shape(6, 256, 512, 4, 2, 64, 512)
    monkeypatch.setitem(race.SHAPES, "small", shape)
    monkeypatch.setattr("byheart.model.catalog.load_tokenizer", lambda config: chat_tokenizer())
    return shape


@pytest.fixture
def make_race(small_shape: Any, tmp_path: Path) -> Callable[..., Any]:
    """A race over four records on a random model of the small shape, on the CPU."""
    from peers.race import Job, Race

    records = tmp_path / "records.jsonl"
    pairs = [("Key A?", "qx"), ("Key B?", "xq"), ("Key C?", "zv"), ("Key D?", "vz")]
    lines = [json.dumps({"prompt": prompt, "completion": answer}) for prompt, answer in pairs]
    records.write_text("\n".join(lines), encoding="utf-8")

    def make(side: Any, max_epochs: int = 3, **settings: Any) -> Any:
        job = Job(
            side=side.peer,
            records=str(records),
            num_records=4,
            num_threads=1,
            seed=1,
            settings={**side.settings, **settings},
            max_epochs=max_epochs,
            shape="small",
        )
        return Race(job, tmp_path / f"{side.peer}.json")

    return make
