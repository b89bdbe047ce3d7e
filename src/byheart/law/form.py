"""The Parametric Memory Law with its constants: what it predicts, and which size it asks for.

    ΔL(r, ℓ) = C · r^α · ℓ^(−β) + b

ΔL is the fall of the answer tokens' mean loss in nats, r the size of the adapter (its rank, or its number of
parameters), ℓ the number of answer tokens. Nothing can fall below zero loss, so a prediction is clipped at the loss
before; nor does a trained adapter end worse than none, so it is clipped at zero.

Source: "How LoRA Remembers? A Parametric Memory Law for LLM Finetuning", arXiv 2605.30260.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from pydantic import FiniteFloat, NonNegativeFloat, PositiveFloat

from byheart.errors import LawError
from byheart.law.cells import Axis, Floats
from byheart.law.document import Document


class Law(Document):
    """The law's four constants, and of which size it speaks.

    Example:
        >>> law = Law(axis="lora_rank", coefficient=20.0, rank_exponent=0.5, length_exponent=0.5, offset_nats=0.0)
        >>> round(law.drop_nats(4, 100, nll_before_nats=13.6), 6)
        4.0
        >>> round(law.size_for(8.0, 100, nll_before_nats=13.6), 6)
        16.0
    """

    axis: Axis
    """What r is: the adapter's rank, or its number of parameters."""
    coefficient: PositiveFloat
    """C, in nats at r = 1 and ℓ = 1."""
    rank_exponent: NonNegativeFloat
    """α, of r."""
    length_exponent: NonNegativeFloat
    """β, of 1 / ℓ."""
    offset_nats: FiniteFloat
    """b."""

    def unclipped_nats(self, size_N: ArrayLike, length_N: ArrayLike) -> Floats:
        """ΔL by the formula alone, for arrays of sizes and answer tokens of one shape; what fits are judged by."""
        size_N, length_N = np.asarray(size_N, dtype=np.float64), np.asarray(length_N, dtype=np.float64)
        exponent_N = self.rank_exponent * np.log(size_N) - self.length_exponent * np.log(length_N)
        return self.coefficient * np.exp(exponent_N) + self.offset_nats

    def drop_nats(self, size: float, num_answer_tokens: float, nll_before_nats: float) -> float:
        """ΔL in nats, between zero and all there is to lose.

        Args:
            size: r.
            num_answer_tokens: ℓ.
            nll_before_nats: mean loss under the base model alone.

        Raises:
            LawError: a size or length that is not positive.
        """
        self._check(size, num_answer_tokens)
        return min(max(float(self.unclipped_nats(size, num_answer_tokens)), 0.0), nll_before_nats)

    def size_for(self, nll_drop_nats: float, num_answer_tokens: float, nll_before_nats: float) -> float:
        """The smallest size at which the law promises a ΔL; zero where the offset alone gives it.

        Args:
            nll_drop_nats: the wanted ΔL.
            num_answer_tokens: ℓ.
            nll_before_nats: mean loss under the base model alone.

        Raises:
            LawError: more is wanted than there is to lose; the size does not matter to this law (α = 0); or no size
                that a number can hold would do.
        """
        self._check(1, num_answer_tokens)
        if nll_drop_nats > nll_before_nats:
            raise LawError(
                f"a fall of {nll_drop_nats:.4g} nats is wanted, but there are only {nll_before_nats:.4g} to lose; "
                "ask for less"
            )
        wanted = nll_drop_nats - self.offset_nats
        if wanted <= 0:
            return 0.0
        if self.rank_exponent == 0:
            raise LawError("in this law the size changes nothing (its exponent is 0); fit it to more ranks")
        log_wanted = math.log(wanted) + self.length_exponent * math.log(num_answer_tokens)
        try:
            return math.exp((log_wanted - math.log(self.coefficient)) / self.rank_exponent)
        except OverflowError as error:
            raise LawError(
                f"no adapter is large enough for a fall of {nll_drop_nats:.4g} nats over {num_answer_tokens:,} answer "
                "tokens by this law; ask for less, or split the memory"
            ) from error

    def __str__(self) -> str:
        size = "r" if self.axis == "lora_rank" else "P"
        sign = "-" if self.offset_nats < 0 else "+"
        return (
            f"ΔL = {self.coefficient:.3g}·{size}^{self.rank_exponent:.3g}·ℓ^-{self.length_exponent:.3g} "
            f"{sign} {abs(self.offset_nats):.2g}"
        )

    @staticmethod
    def _check(size: float, num_answer_tokens: float) -> None:
        if not (size > 0 and num_answer_tokens > 0):
            raise LawError(f"size {size} and {num_answer_tokens} answer tokens: both must be positive")
