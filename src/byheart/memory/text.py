"""Values as text: what can be learnt as such, how bytes become it, and how messages to the user show it."""

from __future__ import annotations

from byheart.errors import Problem

BYTE_ORDER_MARK = "\ufeff"
"""What some editors put before the first character of a file; no part of its first value."""

_QUOTED_CHARACTERS = 60


def text_flaw(name: str, value: object, *, may_be_empty: bool = False) -> str | None:
    """What keeps ``value`` from being learnt as text, with the mend, or None where nothing does.

    >>> text_flaw("answer", 42)
    'answer must be text, got 42; write it as a string'
    """
    if not isinstance(value, str):
        return f"{name} must be text, got {quoted(value)}; write it as a string"
    if not value and not may_be_empty:
        return f"{name} is empty; fill it in or remove the record"
    try:
        value.encode()
    except UnicodeEncodeError as error:
        half = f"half a surrogate pair, U+{ord(value[error.start]):04X}, as its character {error.start + 1}"
        return f"{name} {quoted(value)} holds {half}, which UTF-8 cannot hold; write the whole character or remove it"
    return None


def utf8_problem(error: UnicodeDecodeError, source: str, *, line: int = 1, start: int = 0) -> Problem:
    """``error`` for the user; ``line`` and ``start`` are where in the file the bytes begin that it is about."""
    line += error.object.count(b"\n", 0, error.start)
    byte, position = error.object[error.start], start + error.start
    what = f"not UTF-8: byte 0x{byte:02x} at position {position} of the file, counted from 0; save the file as UTF-8"
    return Problem(f"{source}:{line}", what)


def quoted(value: object) -> str:
    """``value``'s repr, shortened to about sixty characters so that a message stays readable.

    >>> quoted("a" * 100) == repr("a" * 60 + "…")
    True
    """
    if isinstance(value, str):  # cut before repr: a value may be megabytes long
        return repr(value if len(value) <= _QUOTED_CHARACTERS else value[:_QUOTED_CHARACTERS] + "…")
    text = repr(value)
    return text if len(text) <= _QUOTED_CHARACTERS else text[:_QUOTED_CHARACTERS] + "…"
