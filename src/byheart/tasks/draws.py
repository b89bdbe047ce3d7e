"""Seeded draws that give the same on every Python: made of `random.Random.random` alone.

That method's values for a seed are promised to stay; those of ``sample``, ``shuffle`` and ``randrange`` are not, and a
memory that changes with the interpreter could not be compared with the one of yesterday.
"""

from __future__ import annotations

import random
from collections.abc import Iterator


class Draws:
    """A stream of draws.

    Args:
        purpose: what they are for; the streams of two purposes have nothing to do with each other.
        seed: of the stream.
    """

    def __init__(self, purpose: str, seed: int) -> None:
        self._random = random.Random(f"{purpose} {seed}")

    def below(self, bound: int) -> int:
        """A whole number from 0 to ``bound`` - 1, each as likely as the others, up to 2⁵³ of them."""
        return int(self._random.random() * bound)

    def order(self, number: int) -> Iterator[int]:
        """The numbers from 0 to ``number`` - 1 in a random order, drawn as they are asked for."""
        moved: dict[int, int] = {}  # what stands where not what stood there at first
        for first in range(number):
            place = first + self.below(number - first)
            yield moved.pop(place, place)
            if place != first:
                moved[place] = moved.pop(first, first)
