"""Which cells a calibration runs: memories of three kinds, from some that a placement holds with ease to some that it
cannot hold.

What counts is the load, bits a parameter; so sizes are chosen by the placement's own parameters, and by what each kind
of content costs this base model, which is measured on a little of it. Every size meets every rank:

    size(load) = load · parameters at rank 1 / bits of one unit        a unit: one token, or one pair
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

RANKS = (1, 2, 4, 8)
LOADS = (0.15, 0.5, 1.5)
"""Bits a parameter at rank 1. Over the ranks that is 0.02 to 1.5: at the default settings memories of a tenth are held,
and of one are not."""
LONGEST_TOKENS = 1500
"""Of one answer: beyond it a cell takes longer than it is worth."""
MOST_PAIRS = 1000
FEWEST = 2
"""Tokens or pairs; of less nothing is to be learnt."""

SAMPLES: dict[str, dict[str, Any]] = {
    "random": {"name": "long-context", "num_answer_tokens": 100, "random_ratio": 1.0},
    "prose": {"name": "long-context", "num_answer_tokens": 200, "random_ratio": 0.0},
    "phonebook": {"name": "phonebook", "num_pairs": 20},
}
"""A little of each kind, as a task's settings; the sizes are exchanged."""


def size_field(kind: str) -> str:
    """The setting that sizes a kind."""
    return "num_pairs" if kind == "phonebook" else "num_answer_tokens"


def sizes(kind: str, bits_per_unit: float, parameters_per_rank: int, longest_tokens: int = LONGEST_TOKENS) -> list[int]:
    """Sizes of one kind, rising; fewer than `LOADS` where the largest is reached.

    Args:
        kind: of `SAMPLES`.
        bits_per_unit: that the base model lacks for a token or a pair.
        parameters_per_rank: of the placement.
        longest_tokens: of one answer.

    >>> sizes("random", 20.0, 2112)
    [16, 53, 158]
    """
    most = MOST_PAIRS if kind == "phonebook" else longest_tokens
    wanted = (round(load * parameters_per_rank / bits_per_unit) for load in LOADS)
    return sorted({min(max(size, FEWEST), most) for size in wanted})


def grid_of(
    base: Mapping[str, Any], bits_per_unit: Mapping[str, float], parameters_per_rank: int, longest_tokens: int
) -> dict[str, Any]:
    """The cells, as `byheart.sweep.grid.read_grid` takes them.

    Args:
        base: settings of every run.
        bits_per_unit: of each kind.
        parameters_per_rank: of the placement.
        longest_tokens: of one answer.
    """
    sections = []
    for kind, sample in SAMPLES.items():
        field = size_field(kind)
        task = {name: value for name, value in sample.items() if name != field}
        axes = {
            f"task.{field}": sizes(kind, bits_per_unit[kind], parameters_per_rank, longest_tokens),
            "lora_rank": list(RANKS),
        }
        sections.append({"task": task, "axes": axes})
    return {"base": dict(base), "grids": sections}


def kind_of(task: Mapping[str, Any]) -> str:
    """Which kind a cell's task is of.

    >>> kind_of({"name": "long-context", "random_ratio": 1.0, "num_answer_tokens": 50})
    'random'
    """
    if task["name"] == "phonebook":
        return "phonebook"
    return "random" if task["random_ratio"] == 1 else "prose"
