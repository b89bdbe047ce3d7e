"""Certificate tokens laid on the answer they spell.

A token can be part of a character (an emoji takes several), and some tokenizers decode a lone token without its space;
then the tokens' texts do not add up to the answer. Here they are laid on it, so that it shows as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_PART_OF_A_CHARACTER = "\ufffd"


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of the answer and the tokens that spell it, by position."""

    text: str
    positions: tuple[int, ...]


def spans(tokens: Sequence[str], answer: str) -> list[Span]:
    r"""Pieces of ``answer`` in order, for all of ``tokens``; one a token, several tokens where they share a character.

    Args:
        tokens: texts of the answer's tokens, without the end of turn.
        answer: the record's answer.

    Returns:
        Pieces that add up to the answer; where the tokens cannot be laid on it, the tokens' own texts.

    >>> spans(["na", "\ufffd", "\ufffd", "ve"], "naïve")[1]
    Span(text='ï', positions=(1, 2))
    """
    return _laid(tokens, answer) or [Span(text, (position,)) for position, text in enumerate(tokens)]


def _laid(tokens: Sequence[str], answer: str) -> list[Span]:
    laid: list[Span] = []
    pending: list[int] = []
    end = 0
    for position, text in enumerate(tokens):
        if not text or _PART_OF_A_CHARACTER in text:
            pending.append(position)
            continue
        # What is pending spells at least one character.
        start = answer.find(text, end + bool(pending))
        between = answer[end:start]
        if start < 0 or (between.strip() and not pending):
            return []
        if pending:
            laid.append(Span(between, tuple(pending)))
            between = ""
        laid.append(Span(between + text, (position,)))
        end, pending = start + len(text), []
    if pending:
        return [*laid, Span(answer[end:], tuple(pending))]
    return laid if end == len(answer) else []
