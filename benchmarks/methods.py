"""The four methods at the same budget of epochs: exact match on PhoneBook, at two placements.

    python benchmarks/methods.py RECORDS [--epochs 60] [--out benchmarks/results/methods.json]

Every run has the same model, records, seed, learning rate and budget; a run that certifies everything stops earlier. What is
counted is the certificate's: a full pass and the free run after training, never training's own numbers.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

import byheart
from byheart.artifacts import write_bytes
from byheart.method.registry import METHODS
from byheart.model.config import ModelConfig

PLACEMENTS = {
    "layer 20, down_proj, r=16": {"layers": "20", "modules": "down_proj", "lora_rank": 16},
    "default (top:3, all-linear), r=16": {"lora_rank": 16},
}


def main() -> None:
    """Runs the grid and writes a JSON list, a row a run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("records", type=Path)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/methods.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    memory = byheart.Memory.from_file(arguments.records)
    base = byheart.load_base(ModelConfig())
    rows: list[dict[str, object]] = []
    for placement, settings in reversed(PLACEMENTS.items()):
        for method in METHODS:
            config = {"method": {"name": method}, "placement": settings, "learn": {"epochs": arguments.epochs}}
            summary = byheart.learn(memory, base, config=config).summary()
            rows.append({"placement": placement, "method": method, "budget_epochs": arguments.epochs, **summary})
            print(
                f"{placement:36} {method:20} exact match {summary['exact_match']:.2f}  "
                f"certified {summary['num_certified']:3}  lowest p {summary['min_probability']:.3f}  "
                f"epochs {summary['epochs']:3}  {summary['train_seconds']:.0f} s",
                flush=True,
            )
            write_bytes(arguments.out, (json.dumps(rows, indent=2) + "\n").encode())


if __name__ == "__main__":
    main()
