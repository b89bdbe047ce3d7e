"""Text that a person can read to the letter, and that a terminal cannot mistake for commands.

What has no look of its own gets one: control characters, the marks that turn the direction of writing, spaces at the
edges. Letters, and the joiners that scripts need, stay as they are.
"""

from __future__ import annotations

import unicodedata

NEWLINE, END_OF_TURN, ELLIPSIS = "␤", "∎", "…"

_PICTURES = {"\n": NEWLINE, "\t": "⇥", "\r": "␍", "\x7f": "␡", "\u00a0": "⍽", "\u202f": "⍽", "\u2007": "⍽"}
_JOINERS = {"\u200c", "\u200d"}
_HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_AT_AN_EDGE = {"", " ", "\t", "\n", "\r"}


def visible_parts(text: str, newline: str = NEWLINE) -> list[str]:
    r"""What to show for each character of ``text``, in order.

    Args:
        text: anything.
        newline: what to show for a newline.

    >>> visible_parts(" a b\n")
    ['·', 'a', ' ', 'b', '␤']
    """
    neighbours = zip(["", *text], text, [*text[1:], ""], strict=False)
    return [_part(before, character, after, newline) for before, character, after in neighbours]


def _part(before: str, character: str, after: str, newline: str) -> str:
    if character == " ":
        return "·" if before in _AT_AN_EDGE or after in _AT_AN_EDGE else " "
    return newline if character == "\n" else _shown(character)


def _shown(character: str) -> str:
    if character in _PICTURES:
        return _PICTURES[character]
    if character in _JOINERS or unicodedata.category(character) not in _HIDDEN:
        return character
    return chr(0x2400 + ord(character)) if character < " " else f"⟨U+{ord(character):04X}⟩"


def visible(text: str, longest: int | None = None) -> str:
    r"""``text`` on one line, every character of it to be seen.

    Args:
        text: anything.
        longest: of a longer text only the beginning is shown, and an ellipsis.

    >>> visible("to be\tor\x1b[31m not")
    'to be⇥or␛[31m not'
    """
    if longest is not None and len(text) > longest:
        return "".join(visible_parts(text[: longest - 1])) + ELLIPSIS
    return "".join(visible_parts(text))


def neutral(text: str) -> str:
    """``text`` with its lines and spaces as they are, without anything that could steer a terminal."""
    return "".join(c if c in "\n\u00a0\u202f\u2007" else _shown(c) for c in text)
