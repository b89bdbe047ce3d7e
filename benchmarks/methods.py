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


QUICK_RECORDS, QUICK_EPOCHS = 10, 10


def main() -> None:
    """Runs the grid and writes a JSON list, a row a run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("records", type=Path)
    parser.add_argument("--epochs", type=int, help="the budget of every run (60)")
    parser.add_argument("--quick", action="store_true", help="10 records and 10 epochs")
    arguments = measure.with_files(parser, "methods", draws=False)
    epochs = arguments.epochs or (QUICK_EPOCHS if arguments.quick else 60)
    torch.set_num_threads(arguments.threads)
    memory = byheart.Memory.from_file(arguments.records)
    if arguments.quick:
        memory = byheart.Memory(memory.records[:QUICK_RECORDS])
    base = byheart.load_base(ModelConfig())
    rows: list[dict[str, object]] = []
    for setup, settings in SETUPS.items():
        for method in METHODS:
            config = merged(settings, {"method": {"name": method}, "learn": {"epochs": epochs}})
            summary = byheart.learn(memory, base, config=config).summary()
            rows.append({"setup": setup, "method": method, "budget_epochs": epochs, **summary})
            print(
                f"{setup:26} {method:20} exact match {summary['exact_match']:.2f}  "
                f"certified {summary['num_certified']:3}  lowest p {summary['min_probability']:.3f}  "
                f"epochs {summary['epochs']:3}  {summary['train_seconds']:.0f} s",
                flush=True,
            )
            measure.write(arguments.out, rows)


if __name__ == "__main__":
    main()
