"""Other forms that a law could have, to hold against the paper's; see `byheart.law.comparison`.

Tensor names: N cells, P constants.
"""

from __future__ import annotations

import math

import numpy as np

from byheart.law.cells import Cells, Floats
from byheart.law.curves import LARGEST_EXPONENT, Curve, PaperCurve

_AMPLITUDE_ROOM = math.log(1e6)
"""How far the logarithm of an amplitude is searched on either side of where the search starts."""


class RelativeCurve(PaperCurve):
    """The paper's form as a share of what there is to lose, for memories whose loss before differs."""

    name = "share of the loss"
    formula = "ΔL = L_before·(C·r^α·ℓ^-β + b)"

    def units(self, cells: Cells) -> Floats:
        """The loss before, by cell."""
        return cells.before_N


class PowerCurve:
    """The paper's form without its offset: log-linear. Coordinates: ln C, then the exponents."""

    name = "no offset"
    formula = "ΔL = C·r^α·ℓ^-β"
    exponents: tuple[str, ...] = ("rank_exponent", "length_exponent")
    smallest_exponent = 0.0

    def logs(self, cells: Cells) -> Floats:
        """What each coordinate is multiplied by in the logarithm of the power."""
        return np.column_stack([np.ones(len(cells)), np.log(cells.size_N), -np.log(cells.length_N)])

    def predict(self, x_P: Floats, cells: Cells) -> Floats:
        """ΔL of each cell, nats."""
        return np.exp(self.logs(cells) @ x_P)

    def log_powers(self, cells: Cells) -> Floats:
        """The logarithm of the power that would give each cell its drop."""
        return np.log(cells.drop_N)

    def bounds(self, cells: Cells) -> tuple[Floats, Floats]:
        """Exponents that let more rank, or a shorter answer, never predict less."""
        amplitude = self._linear(cells)[0]
        low = [amplitude - _AMPLITUDE_ROOM, *[self.smallest_exponent] * len(self.exponents)]
        high = [amplitude + _AMPLITUDE_ROOM, *[LARGEST_EXPONENT] * len(self.exponents)]
        return np.array(low), np.array(high)

    def starts(self, cells: Cells) -> list[Floats]:
        """The least squares of the logarithms, and flatter and steeper ones through the cells' middle."""
        linear_P = self._linear(cells)
        middle_P = self.logs(cells).mean(axis=0)
        starts = [linear_P]
        for factor in (0.5, 2.0):
            exponents = factor * linear_P[1:]
            starts.append(np.array([(middle_P @ linear_P) - middle_P[1:] @ exponents, *exponents]))
        return starts

    def constants(self, x_P: Floats, cells: Cells) -> dict[str, float]:
        """C and the exponents."""
        return {"coefficient": math.exp(x_P[0]), **dict(zip(self.exponents, map(float, x_P[1:]), strict=True))}

    def _linear(self, cells: Cells) -> Floats:
        linear_P, *_ = np.linalg.lstsq(self.logs(cells), self.log_powers(cells))
        return linear_P.astype(np.float64)


class RatioCurve(PowerCurve):
    """One exponent for both: only how much adapter there is for each answer token matters."""

    name = "ratio"
    formula = "ΔL = C·(r/ℓ)^α"
    exponents = ("ratio_exponent",)

    def logs(self, cells: Cells) -> Floats:
        """1 and ln(r/ℓ)."""
        return np.column_stack([np.ones(len(cells)), np.log(cells.size_N) - np.log(cells.length_N)])


class SaturatingCurve(PowerCurve):
    """A power that bends as it nears what there is to lose, and never passes it."""

    name = "saturating"
    formula = "ΔL = L_before·(1 - exp(-C·r^α·ℓ^-β))"

    def predict(self, x_P: Floats, cells: Cells) -> Floats:
        """ΔL of each cell, nats."""
        return cells.before_N * -np.expm1(-super().predict(x_P, cells))

    def log_powers(self, cells: Cells) -> Floats:
        """The bend undone."""
        share_N = np.clip(cells.drop_N / cells.before_N, 1e-9, 1 - 1e-9)
        return np.log(-np.log1p(-share_N))


class BitsCurve(SaturatingCurve):
    """The adapter's parameters against the bits that the base model lacks for the answers.

    k is a capacity: a memory of k bits for each parameter is learnt but for a share of 1/e.
    """

    name = "saturating in bits"
    formula = "ΔL = L_before·(1 - exp(-(k·parameters/bits)^γ)), bits = ℓ·L_before/ln 2"
    exponents = ("load_exponent",)
    smallest_exponent = 0.05

    def logs(self, cells: Cells) -> Floats:
        """1 and the logarithm of the parameters for each bit."""
        return np.column_stack([np.ones(len(cells)), -np.log(cells.loads)])

    def constants(self, x_P: Floats, cells: Cells) -> dict[str, float]:
        """The capacity k, and γ."""
        return {"bits_per_parameter": math.exp(x_P[0] / x_P[1]), "load_exponent": float(x_P[1])}


FORMS: tuple[Curve, ...] = (
    PaperCurve(),
    RelativeCurve(),
    PowerCurve(),
    RatioCurve(),
    SaturatingCurve(),
    BitsCurve(),
)
"""The forms that are compared, the paper's first."""
