"""Linear Rule Learning: does an adapter that has learnt examples by heart know the rule, f(x, y) = 3x + 5y + 7?

The paper learns 500 pairs and asks for unseen ones. It says neither how it asks, nor from which range x and y come, nor
how many unseen pairs there are. Chosen here: the prompt `f(12, 7) =` and the answer `78`; whole numbers from 0 to 99,
both halves from the one range, so that answers have one to three digits; 500 unseen pairs.

Memory is exact match on what `build` gives, generalisation exact match on what `build_unseen` gives; a bundle scores
both: ``bundle.certificate.exact_match`` and ``bundle.certify(unseen).exact_match``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, Self

from pydantic import Field, PositiveInt, model_validator

from byheart.memory.record import Record
from byheart.memory.records import Memory
from byheart.memory.tokenizer import Tokenizer
from byheart.settings import Settings
from byheart.tasks.draws import Draws

NUM_VALUES = 100
"""x and y are each a whole number from 0 to one less."""
NUM_POINTS = NUM_VALUES**2


class LinearRuleConfig(Settings):
    """Which points of the rule are learnt, and how many others are asked for."""

    name: Literal["linear-rule"] = "linear-rule"
    num_pairs: PositiveInt = 500
    """Points that are learnt."""
    num_unseen: PositiveInt = 500
    """Points that are not, on which generalisation is measured."""
    seed: int = Field(default=42, ge=0, lt=2**31)
    """Of which points are learnt, which are not."""

    @model_validator(mode="after")
    def _disjoint(self) -> Self:
        if self.num_pairs + self.num_unseen > NUM_POINTS:
            raise ValueError(
                f"num_pairs {self.num_pairs:,} and num_unseen {self.num_unseen:,} are more together than the "
                f"{NUM_POINTS:,} points there are; ask for fewer"
            )
        return self


def rule(x: int, y: int) -> int:
    """The rule.

    >>> rule(12, 7)
    78
    """
    return 3 * x + 5 * y + 7


def build(config: LinearRuleConfig, tokenizer: Tokenizer) -> Memory:
    """The points to be learnt; of the same seed, fewer are the first of more."""
    return _memory(_order(config)[: config.num_pairs])


def build_unseen(config: LinearRuleConfig, tokenizer: Tokenizer) -> Memory:
    """Points none of which `build` gives, whatever ``num_pairs`` may be."""
    return _memory(_order(config)[: -config.num_unseen - 1 : -1])


def _order(config: LinearRuleConfig) -> list[int]:
    return list(Draws("linear rule", config.seed).order(NUM_POINTS))


def _memory(points: Iterable[int]) -> Memory:
    pairs = (divmod(point, NUM_VALUES) for point in points)
    return Memory.from_pairs(Record("", f"f({x}, {y}) =", str(rule(x, y))) for x, y in pairs)
