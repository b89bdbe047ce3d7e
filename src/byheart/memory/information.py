"""How much there is to remember, in bits: an upper bound that needs no model.

The answers are compressed together with deflate, which pays 4.0 bits for each digit of a hundred random ten-digit
numbers (their entropy is 3.32). Where a base model already expects the answers, its own loss is the tighter bound;
whoever knows both takes the smaller.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable


def compressed_bits(answers: Iterable[str]) -> int:
    """Bits of the answers, one after the other, under raw deflate at its best level.

    >>> compressed_bits(["aaaa"] * 100) < compressed_bits(["kfue", "92jd", "xmqp"] * 2)
    True
    """
    compressor = zlib.compressobj(level=9, wbits=-15, memLevel=9)
    num_bytes = sum(len(compressor.compress(answer.encode())) for answer in answers)
    return 8 * (num_bytes + len(compressor.flush()))
