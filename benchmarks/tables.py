"""Writes the table beside results that are there already, from what they hold; nothing is run.

    python benchmarks/tables.py benchmarks/results/*.json

For results whose table is missing, or was written by an earlier form of its benchmark.
"""

from __future__ import annotations

import argparse
import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

TABLES = {
    "ablation": "ablation.text",
    "capacity": "capacity.text",
    "engine_noise": "engine_noise.text",
    "gpu": "gpu.text",
    "growth": "growth.text",
    "margin": "margin.text",
    "methods": "methods.text",
    "outliers": "outliers.text",
    "planner": "planner.text",
    "step_profile": "step_profile.text",
    "time_to_exact": "time_to_exact.text",
    "trainer_grid": "time_to_exact.grid_text",
    "trl_grid": "time_to_exact.grid_text",
}
"""What tells of results, by what their file's name begins with."""


def teller(path: Path) -> Callable[[Any], str]:
    """The function that tells of the results in ``path``.

    Raises:
        SystemExit: no benchmark's results are called so.
    """
    name = next((TABLES[stem] for stem in TABLES if path.stem.startswith(stem)), None)
    if name is None:
        raise SystemExit(f"{path}: no benchmark's results; their names begin with {', '.join(TABLES)}")
    if path.stem.endswith("_quick"):
        raise SystemExit(f"{path}: the table of a quick run says what it left out, which is not kept; run it again")
    module, function = name.split(".")
    return getattr(importlib.import_module(module), function)


def main() -> None:
    """Writes the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", nargs="+", type=Path)
    arguments = parser.parse_args()
    tellers = {path: teller(path) for path in arguments.results}
    for path, told in tellers.items():
        report = json.loads(path.read_text(encoding="utf-8"))
        path.with_suffix(".md").write_text(f"{told(report)}\n", encoding="utf-8")
        print(path.with_suffix(".md"))


if __name__ == "__main__":
    main()
