"""How much there is to remember, in bits: an upper bound that needs no model.

The answers' bytes are written down in two ways, each of which can be read back, and the shorter counts:

    deflate     finds what repeats, and pays 4.0 bits for each digit of a hundred random ten-digit numbers
    by counts   how often each byte occurs, then which of the sequences with these counts it is: 3.4 bits for such a
                digit, whose entropy is 3.32, with the table of its ten digits and their counts

With both goes where each answer ends. Where a base model already expects the answers, its own loss is the tighter
bound; whoever knows both takes the smaller.
"""

from __future__ import annotations

import math
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence

_NUM_BYTES = 256


def compressed_bits(answers: Iterable[str]) -> int:
    """Bits from which the answers could be read back, one by one and in order.

    >>> compressed_bits(["aaaa"] * 100) < compressed_bits(["kfue", "92jd", "xmqp"] * 2)
    True
    >>> compressed_bits(["9100672710", "6780438158"]) < 8 * 20
    True
    """
    pieces = [answer.encode() for answer in answers]
    text = b"".join(pieces)
    which = 1  # bit
    return which + _ends_bits([len(piece) for piece in pieces]) + min(_deflated_bits(text), _counted_bits(text))


def _deflated_bits(text: bytes) -> int:
    """Under raw deflate at its best level."""
    compressor = zlib.compressobj(level=9, wbits=-15, memLevel=9)
    return 8 * (len(compressor.compress(text)) + len(compressor.flush()))


def _counted_bits(text: bytes) -> int:
    """Which bytes occur, and `_arranged_bits`; how many bytes there are is known from the answers' ends."""
    num_kinds = len(set(text))
    return _index_bits(_NUM_BYTES) + _index_bits(math.comb(_NUM_BYTES, num_kinds)) + _arranged_bits(text)


def _ends_bits(lengths: Sequence[int]) -> int:
    """How many answers, which lengths occur, and `_arranged_bits`."""
    kinds = set(lengths)
    return sum(map(_number_bits, (len(lengths), len(kinds), *kinds))) + _arranged_bits(lengths)


def _arranged_bits(symbols: Sequence[int]) -> int:
    """How often each of the known kinds of symbols occurs in so many of them, and in which of the possible orders.

    C(n − 1, k − 1) ways to share n out among k kinds, n! / Π n_i! orders
    """
    if not symbols:
        return 0
    counts = Counter(symbols).values()
    num_ways = math.comb(len(symbols) - 1, len(counts) - 1)
    log_orders = math.lgamma(len(symbols) + 1) - sum(math.lgamma(count + 1) for count in counts)
    return _index_bits(num_ways) + math.ceil(log_orders / math.log(2))


def _index_bits(num_choices: int) -> int:
    """Of one among so many: ⌈log2⌉."""
    return (num_choices - 1).bit_length()


def _number_bits(number: int) -> int:
    """Of a number from 0 up that nothing is known of: Elias's gamma code of its successor."""
    return 2 * (number + 1).bit_length() - 1
