"""Which cells are fitted, and those cells as arrays.

The law speaks of adapters that are full: a cell whose loss ends below ln 2 has learnt all there was to learn, and says
nothing of how much more its rank would have held. Such cells are left out, as in the paper, and so are cells that had
not converged, and cells whose loss did not fall. All of them are counted.

Tensor names: N cells.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from byheart.law.observation import Observation

SATURATED_NLL_NATS = math.log(2)
"""Below this mean loss a cell has nothing left that its rank could be measured by."""

Axis = Literal["lora_rank", "num_parameters"]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Selection:
    """Observations, sorted into those that are fitted and those that are left out, each by its first reason."""

    used: tuple[Observation, ...]
    saturated: tuple[Observation, ...]
    unconverged: tuple[Observation, ...]
    unlearnt: tuple[Observation, ...]


def select(observations: Iterable[Observation]) -> Selection:
    """Sorts observations: saturated (loss after below ln 2), unconverged, unlearnt (loss did not fall), used.

    Each part is ordered by rank, length and name, so that nothing depends on the order of a table's rows.
    """
    parts: dict[str, list[Observation]] = {"used": [], "saturated": [], "unconverged": [], "unlearnt": []}
    for cell in sorted(observations, key=lambda cell: (cell.lora_rank, cell.num_answer_tokens, cell.name)):
        if cell.nll_after_nats < SATURATED_NLL_NATS:
            parts["saturated"].append(cell)
        elif not cell.has_converged:
            parts["unconverged"].append(cell)
        else:
            parts["used" if cell.nll_drop_nats > 0 else "unlearnt"].append(cell)
    return Selection(**{name: tuple(cells) for name, cells in parts.items()})


@dataclass(frozen=True)
class Cells:
    """Observations as arrays. Logarithms are measured from a centre that all subsets share, so that the constants of a
    form there mean the same for each of them, and are far less entangled than at rank 1 and length 1.

    Attributes:
        axis: which size.
        size_N: rank or number of parameters.
        length_N: answer tokens.
        parameters_N: of the adapter.
        before_N: mean loss before, nats.
        drop_N: ΔL, nats.
        log_size_centre: mean of ln size over the cells these were taken from.
        log_length_centre: mean of ln length over them.
    """

    axis: Axis
    size_N: Floats
    length_N: Floats
    parameters_N: Floats
    before_N: Floats
    drop_N: Floats
    log_size_centre: float
    log_length_centre: float

    @classmethod
    def of(cls, observations: Iterable[Observation], axis: Axis) -> Cells:
        """At least one observation, in their order."""
        rows = [
            (
                getattr(cell, axis),
                cell.num_answer_tokens,
                cell.num_parameters,
                cell.nll_before_nats,
                cell.nll_drop_nats,
            )
            for cell in observations
        ]
        size_N, length_N, parameters_N, before_N, drop_N = np.array(rows, dtype=np.float64).T
        centre = float(np.log(size_N).mean()), float(np.log(length_N).mean())
        return cls(axis, size_N, length_N, parameters_N, before_N, drop_N, *centre)

    def take(self, index_N: NDArray[np.intp] | NDArray[np.bool_]) -> Cells:
        """Some of the cells, with the same centre."""
        arrays = {
            name: getattr(self, name)[index_N] for name in ("size_N", "length_N", "parameters_N", "before_N", "drop_N")
        }
        return replace(self, **arrays)

    def __len__(self) -> int:
        """Number of cells."""
        return len(self.drop_N)

    @cached_property
    def log_sizes(self) -> Floats:
        """Logarithm of each size, from the centre."""
        return np.log(self.size_N) - self.log_size_centre

    @cached_property
    def log_lengths(self) -> Floats:
        """Logarithm of each length, from the centre."""
        return np.log(self.length_N) - self.log_length_centre

    @cached_property
    def loads(self) -> Floats:
        """Bits that the base model lacks for the answers, for each parameter of the adapter."""
        return self.length_N * self.before_N / math.log(2) / self.parameters_N

    @property
    def num_points(self) -> int:
        """Number of different (size, length); repeats with other seeds count once."""
        return len(set(zip(self.size_N.tolist(), self.length_N.tolist(), strict=True)))
