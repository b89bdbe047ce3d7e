"""The four methods at the same budget of epochs: exact match on PhoneBook, at two placements.

    python benchmarks/methods.py RECORDS [--epochs 60] [--out benchmarks/results/methods.json] [--quick]

Every run of a set-up has the same model, records, seed, rate and budget; a run that certifies everything stops earlier.
What is counted is the certificate's: a full pass and the free run after training, never training's own numbers.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import measure
import torch

import byheart
from byheart.method.registry import METHODS
from byheart.model.config import ModelConfig
from byheart.settings import merged

SETUPS: dict[str, dict[str, dict[str, Any]]] = {
    "default placement, r=16": {"placement": {"lora_rank": 16}},
    "layer 24, down_proj, r=16": {
        "placement": {"layers": "24", "modules": "down_proj", "lora_rank": 16},
        # The paper's set-up: its rate, falling to zero at the end, its AdamW and first weights, no margin, no rest.
        "learn": {
            "learning_rate": 1e-2,
            "decay": "linear",
            "decay_share": 1.0,
            "floor_share": 0.0,
            "betas": [0.9, 0.999],
            "averaging": 0.0,
            "initial": "random",
            "shortlist": False,
        },
        "method": {"margin": 0.0, "rest_epochs": 0},
    },
}
EPOCHS, QUICK_RECORDS, QUICK_EPOCHS = 60, 10, 10


def main() -> None:
    """Runs the grid and writes a JSON list, a row a run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("records", type=Path)
    parser.add_argument("--epochs", type=int, help=f"the budget of every run ({EPOCHS})")
    left_out = f"{QUICK_RECORDS} records and {QUICK_EPOCHS} epochs, not all records and {EPOCHS}"
    arguments = measure.with_files(parser, "methods", left_out=left_out, draws=False)
    epochs = arguments.epochs or (QUICK_EPOCHS if arguments.quick else EPOCHS)
    torch.set_num_threads(arguments.threads)
    memory = byheart.Memory.from_file(arguments.records)
    if arguments.quick:
        memory = byheart.Memory(memory.records[:QUICK_RECORDS])
    base = byheart.load_base(ModelConfig())
    rows: list[dict[str, Any]] = []
    told = ""
    for setup, settings in SETUPS.items():
        for method in METHODS:
            config = merged(settings, {"method": {"name": method}, "learn": {"epochs": epochs}})
            summary = byheart.learn(memory, base, config=config).summary()
            rows.append({"setup": setup, "method": method, "budget_epochs": epochs, **summary})
            told = measure.publish(arguments.out, rows, text(rows), arguments.left_out)
            print(f"{setup}, {method}: {' '.join(_outcome(rows[-1]))}", flush=True)
    print(f"\n{told}")


def text(rows: list[dict[str, Any]]) -> str:
    """The runs in Markdown, the most recalled of each set-up in bold."""
    names = "set-up, method, exact match, certified, lowest p, epochs, whole ones allowed, training s"
    best = {row["setup"]: max(r["exact_match"] for r in rows if r["setup"] == row["setup"]) for row in rows}
    cells = []
    for row in rows:
        exact, *others = _outcome(row)
        bold = "**" if row["exact_match"] == best[row["setup"]] else ""
        cells.append([row["setup"], row["method"], f"{bold}{exact}{bold}", *others])
    return measure.table(names.split(", "), cells)


def _outcome(row: dict[str, Any]) -> list[str]:
    return [
        f"{row['exact_match']:.2f}",
        f"{row['num_certified']} of {row['num_records']}",
        f"{row['min_probability']:.3f}",
        f"{row['epochs']}",
        f"{row['budget_epochs']}",
        f"{row['train_seconds']:.0f}",
    ]


if __name__ == "__main__":
    main()
