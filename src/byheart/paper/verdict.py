"""How a claim is judged: it holds, it does not, or the numbers leave it open."""

from __future__ import annotations

from byheart.paper.table import Value

HOLDS, FAILS, OPEN = "holds", "does not hold", "open"
Row = tuple[Value, ...]
"""Of the table of findings; see `byheart.paper.verdicts.COLUMNS`."""


def all_or(is_so: bool) -> str:
    """The verdict on what one counterexample refutes."""
    return HOLDS if is_so else FAILS


def by(is_so: bool, is_not: bool) -> str:
    """The verdict on what an interval may speak for, against, or neither.

    >>> by(False, False)
    'open'
    """
    return HOLDS if is_so else FAILS if is_not else OPEN
