"""One thing to learn: what is asked, and what must come back to the letter.

The answer is kept to the byte: nothing in this room strips, normalises or re-encodes it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

ROLES = ("system", "user", "assistant", "tool")


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation, as chat templates know it: ``role`` is one of `ROLES`."""

    role: str
    content: str


Prompt: TypeAlias = str | tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class Record:
    """A prompt and its answer.

    Attributes:
        id: unique within a memory; certificates and window states are keyed by it. Left empty, it is taken from the
            prompt, so that it stays the same when records are added, removed or put in another order.
        prompt: the key, either one user turn as text or the turns of a conversation up to the answer.
        answer: what the model must give back, to the byte.
        where: where the record was read, ``file:line``, for messages to the user; not part of its identity.
    """

    id: str
    prompt: Prompt
    answer: str
    where: str = field(default="", compare=False)


def turns(prompt: Prompt) -> tuple[Message, ...]:
    """The prompt as a conversation: text is one user turn."""
    return (Message("user", prompt),) if isinstance(prompt, str) else prompt
