"""A long text in pieces of a bounded number of tokens, which joined give it back to the byte.

A cut falls on the end of a paragraph where there is one in the later half of what fits, else on the end of a sentence,
of a line, between two words, and only then within a word. The space between two words goes to the piece that it leads:
"and", " then" are two tokens of most vocabularies; "and ", "then" are three.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

_PARAGRAPH = r"\n\s*\n"  # with all of its blank lines
_SENTENCE = r"[.!?…][\"'”’)\]]*(?:[^\S\n]*\n|(?=\s))|[。！？]"  # with closing quotes and, at a line's end, the newline
_LINE = r"\n"
_WORD = r"(?<=\S)(?=[^\S\r\n])"
_BOUNDARIES = [re.compile(pattern) for pattern in (_PARAGRAPH, _SENTENCE, _LINE, _WORD)]
_PIECE = re.compile(r"[A-Za-z]{1,6}| {2,16}|[^ ]")


def count_pieces(text: str) -> int:
    """About how many tokens ``text`` has, by a rule that knows no tokenizer.

    One for each run of at most six ASCII letters, for each run of two to sixteen spaces, and for every other character
    but a single space. English comes near the common vocabularies; most other scripts are counted high, so that their
    chunks come out shorter.

    >>> count_pieces("Remember 42, please.")
    7
    """
    return sum(1 for _ in _PIECE.finditer(text))


def cut(text: str, chunk_tokens: int, count_tokens: Callable[[str], int] = count_pieces) -> Iterator[str]:
    """Pieces of ``text``, none empty; ``"".join`` of them is ``text``.

    Args:
        text: what to cut; an empty text has no pieces.
        chunk_tokens: the most tokens in a piece, at least 1; a single character that has more is a piece all the same.
        count_tokens: tokens of a text. Where it gives a text fewer than the text's beginning, as vocabularies now and
            then do, a piece may have a token too many.

    >>> list(cut("One. Two.", 3))
    ['One.', ' Two.']
    """
    start, stride = 0, 4 * chunk_tokens
    while start < len(text):
        longest = _longest(text, start, stride, lambda piece: count_tokens(piece) <= chunk_tokens)
        end = longest if longest == len(text) else _boundary(text, start, longest)
        yield text[start:end]
        start, stride = end, longest - start


def _longest(text: str, start: int, stride: int, fits: Callable[[str], bool]) -> int:
    """Where the longest piece from ``start`` ends: ``stride`` characters, doubled while they fit, then bisected."""
    low, high = start + 1, min(start + stride, len(text))
    while fits(text[start:high]):
        if high == len(text):
            return high
        low, high = high, min(start + 2 * (high - start), len(text))
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(text[start:middle]) else (low, middle)
    return low


def _boundary(text: str, start: int, end: int) -> int:
    """The best place to cut after ``start``, at most at ``end``."""
    for boundary in _BOUNDARIES:
        # One character more is looked at: the end of a word or sentence is known by what comes after it.
        ends = [match.end() for match in boundary.finditer(text, start + 1, end + 1) if match.end() <= end]
        if ends and (2 * (ends[-1] - start) >= end - start or boundary is _BOUNDARIES[-1]):
            return ends[-1]
    return end
