"""Numbers and names as people read them."""

from __future__ import annotations

from byheart.memory.record import Prompt, turns


def counted(number: int, noun: str) -> str:
    """A number and its noun.

    >>> counted(1, "record"), counted(1200, "record")
    ('1 record', '1,200 records')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def clock(seconds: float) -> str:
    """Seconds as m:ss, or h:mm:ss.

    >>> clock(61.4), clock(3600)
    ('1:01', '1:00:00')
    """
    minutes, rest = divmod(max(round(seconds), 0), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def probability(p: float) -> str:
    """Two digits, or as many as keep it on its side of one half and off zero.

    >>> probability(0.583), probability(0.50004), probability(0.00031)
    ('0.58', '0.50004', '0.00031')
    """
    if p < 0.01:
        return f"{p:.2g}"
    digits = next((digits for digits in range(2, 9) if (float(f"{p:.{digits}f}") > 0.5) == (p > 0.5)), 9)
    return f"{p:.{digits}f}"


def question(prompt: Prompt) -> str:
    """A prompt as one text: the last turn of a conversation, after how many others."""
    *before, last = turns(prompt)
    return f"(after {counted(len(before), 'turn')}) {last.content}" if before else last.content
