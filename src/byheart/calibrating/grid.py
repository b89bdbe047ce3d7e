"""Which cells a calibration runs: memories of three kinds and three sizes, the largest at ranks from one on that can
hardly hold it, as far as a single answer stays short enough to be learnt in the time.

What counts is the load, bits a parameter. Sizes are chosen by the placement's own parameters and by what each kind of
content costs this base model, which is measured on a little of it; a placement of few parameters is given memories that
are worth the trouble all the same, at larger ranks:

    bits(size) = max(load · parameters at rank 1, floor)        a size: so many tokens, or pairs
    ranks(size) = R, 2·R, and of all but a kind's largest 4·R   R: the largest power of two at which a parameter is
                                                                asked for `HEAVIEST` bits or more, or 1
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

LOADS = (0.1, 0.3, 0.9)
"""Bits a parameter at rank 1, by size."""
FLOORS = (400, 1200, 4000)
"""Bits, by size, at least: some 20, 60 and 200 tokens that nothing foretells."""
HEAVIEST = 0.7
"""Bits a parameter at the lowest rank, at least, where the size asks for so many: about what an adapter was seen to
hold, so that learning fails there or nearly does, which is what takes longest."""
NUM_RANKS = 3
"""Of a size, each twice the one before."""
NUM_RANKS_OF_LARGEST = 2
"""Of a kind's largest size, whose cells take longest: where all is held again the smaller sizes tell as much."""
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

    >>> sizes("random", 20.0, 768), sizes("random", 20.0, 30528)
    ([20, 60, 200], [153, 458, 1374])
    """
    most = MOST_PAIRS if kind == "phonebook" else longest_tokens
    bits = (max(load * parameters_per_rank, floor) for load, floor in zip(LOADS, FLOORS, strict=True))
    return sorted({min(max(round(each / bits_per_unit), FEWEST), most) for each in bits})


def ranks(bits: float, parameters_per_rank: int, count: int = NUM_RANKS) -> list[int]:
    """The ranks that a memory meets, rising.

    Args:
        bits: that the base model lacks for it.
        parameters_per_rank: of the placement.
        count: of ranks.

    >>> ranks(4000, 768), ranks(2000, 30528, 2)
    ([4, 8, 16], [1, 2])
    """
    lowest = 2 ** max(math.floor(math.log2(bits / (HEAVIEST * parameters_per_rank))), 0)
    return [lowest * 2**power for power in range(count)]


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
        unit = bits_per_unit[kind]
        *smaller, largest = sizes(kind, unit, parameters_per_rank, longest_tokens)
        for size, count in [*((size, NUM_RANKS) for size in smaller), (largest, NUM_RANKS_OF_LARGEST)]:
            axes = {"lora_rank": ranks(size * unit, parameters_per_rank, count)}
            sections.append({"task": sample | {size_field(kind): size}, "axes": axes})
    return {"base": dict(base), "grids": sections}


def kind_of(task: Mapping[str, Any]) -> str:
    """Which kind a cell's task is of.

    >>> kind_of({"name": "long-context", "random_ratio": 1.0, "num_answer_tokens": 50})
    'random'
    """
    if task["name"] == "phonebook":
        return "phonebook"
    return "random" if task["random_ratio"] == 1 else "prose"
