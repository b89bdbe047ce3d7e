"""Forms a law can have, as curves with free constants: what the solver needs to know of each.

A form is fitted in coordinates x_P at the cells' centre, where its amplitude is a value within the data and the
exponents are hardly entangled with it; `Curve.constants` turns them into those of the formula. Curves are analytic
and take complex x_P, so that derivatives are exact (the complex step), without a line of code for them.

Tensor names: N cells, P constants.
"""

from __future__ import annotations

import math
from itertools import product
from typing import Protocol

import numpy as np

from byheart.law.cells import Cells, Floats
from byheart.law.form import Law

LARGEST_EXPONENT = 4.0
_LARGEST_OFFSET = 10.0
"""In largest drops. An offset far below the data with a small exponent is a logarithm in disguise; past this bound the
two cannot be told apart."""
_SMALLEST_AMPLITUDE = 1e-6
"""In largest drops."""
_START_EXPONENTS = (0.2, 0.5, 1.0, 2.0)


class Curve(Protocol):
    """A form with free constants."""

    name: str
    """A word or two."""
    formula: str
    """As text."""

    def predict(self, x_P: Floats, cells: Cells) -> Floats:
        """ΔL of each cell, nats; analytic in x_P."""
        ...

    def bounds(self, cells: Cells) -> tuple[Floats, Floats]:
        """The least and the largest of each coordinate."""
        ...

    def starts(self, cells: Cells) -> list[Floats]:
        """Where to begin; the solver moves what lies outside the bounds to them."""
        ...

    def constants(self, x_P: Floats, cells: Cells) -> dict[str, float]:
        """The formula's own constants."""
        ...


class PaperCurve:
    """The paper's form. Coordinates: amplitude at the centre, α, β, b."""

    name = "paper"
    formula = "ΔL = C·r^α·ℓ^-β + b"
    coordinates = ("coefficient", "rank_exponent", "length_exponent", "offset_nats")

    def units(self, cells: Cells) -> Floats:
        """What a drop is measured in, in nats, by cell."""
        return np.ones(len(cells))

    def predict(self, x_P: Floats, cells: Cells) -> Floats:
        """ΔL of each cell, nats."""
        amplitude, rank_exponent, length_exponent, offset = x_P
        growth_N = np.exp(rank_exponent * cells.log_sizes - length_exponent * cells.log_lengths)
        return (amplitude * growth_N + offset) * self.units(cells)

    def bounds(self, cells: Cells) -> tuple[Floats, Floats]:
        """Exponents from 0 to `LARGEST_EXPONENT`, so that more rank never predicts less, nor a longer answer more; an
        offset no higher than the data.
        """
        largest = self._largest(cells)
        low = [_SMALLEST_AMPLITUDE * largest, 0.0, 0.0, -_LARGEST_OFFSET * largest]
        high = [(1 + _LARGEST_OFFSET) * largest, LARGEST_EXPONENT, LARGEST_EXPONENT, largest]
        return np.array(low), np.array(high)

    def starts(self, cells: Cells) -> list[Floats]:
        """A grid over both exponents; for given exponents the best amplitude and offset are a linear problem."""
        scaled_N = cells.drop_N / self.units(cells)
        starts = []
        for rank_exponent, length_exponent in product(_START_EXPONENTS, repeat=2):
            growth_N = np.exp(rank_exponent * cells.log_sizes - length_exponent * cells.log_lengths)
            design = np.stack([growth_N, np.ones(len(cells))], axis=1)
            (amplitude, offset), *_ = np.linalg.lstsq(design, scaled_N)
            starts.append(np.array([amplitude, rank_exponent, length_exponent, offset]))
        return starts

    def constants(self, x_P: Floats, cells: Cells) -> dict[str, float]:
        """C, α, β and b."""
        amplitude, rank_exponent, length_exponent, offset = map(float, x_P)
        shift = -rank_exponent * cells.log_size_centre + length_exponent * cells.log_length_centre
        values = (amplitude * math.exp(shift), rank_exponent, length_exponent, offset)
        return dict(zip(self.coordinates, values, strict=True))

    def law(self, x_P: Floats, cells: Cells) -> Law:
        """The law with these constants."""
        return Law(axis=cells.axis, **self.constants(x_P, cells))

    def at_bounds(self, x_P: Floats, cells: Cells) -> tuple[str, ...]:
        """The constants that ended at a bound: the cells do not determine them."""
        low_P, high_P = self.bounds(cells)
        near_P = 1e-4 * (high_P - low_P)
        is_at_P = (x_P - low_P < near_P) | (high_P - x_P < near_P)
        # The amplitude's lower bound is no more than being positive, and its upper one is reached with the offset's.
        return tuple(name for name, is_at in zip(self.coordinates[1:], is_at_P[1:], strict=True) if is_at)

    def _largest(self, cells: Cells) -> float:
        return float(np.max(cells.drop_N / self.units(cells)))
