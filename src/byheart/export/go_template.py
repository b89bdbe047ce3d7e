"""A model's chat template (Jinja) → the same prompts in Ollama's words (Go's text/template).

A Jinja template is a program; most write fixed text around what is said. That text is read off from a few rendered
conversations of marks: what stands before the first turn, between two turns of given roles, and behind the last. Where
the pieces do not give back what the template renders, nothing is derived.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from byheart.errors import BundleError

Turns = Sequence[dict[str, str]]
Render = Callable[[Turns], str]

_MARKS = {"system": "⟦system⟧", "user": "⟦user⟧", "assistant": "⟦assistant⟧"}


@dataclass(frozen=True, slots=True)
class ChatPieces:
    """The fixed text of a chat template, by where it stands.

    Attributes:
        start: before a first turn of the user's; what the template says where there is no system turn is in it.
        start_system: before a system turn; None where the template takes none.
        system_user: between a system turn and the user's.
        user_assistant: between a turn of the user's and the assistant's.
        assistant_user: the other way round.
        end: behind the last turn of the user's, up to where the answer begins.
    """

    start: str
    start_system: str | None
    system_user: str
    user_assistant: str
    assistant_user: str
    end: str

    @classmethod
    def derived(cls, render: Render) -> ChatPieces:
        """The pieces of a chat template.

        Args:
            render: a conversation, the last turn the user's → the prompt's text.

        Raises:
            BundleError: the template does more than write fixed text between turns.
        """
        start, end = _between(render, "user")
        start_again, user_assistant, assistant_user, end_again = _between(render, "user", "assistant", "user")
        if (start, end) != (start_again, end_again):
            raise _not_derivable("what stands before or behind a turn depends on how many there are")
        try:
            start_system, system_user, end_system = _between(render, "system", "user")
        except Exception as error:  # a template raises what it likes at a role that it does not know
            if isinstance(error, BundleError):
                raise
            return cls(start, None, "", user_assistant, assistant_user, end)
        if end_system != end:
            raise _not_derivable("what stands behind the last turn depends on the system turn")
        return cls(start, start_system, system_user, user_assistant, assistant_user, end)

    def without_begin(self, begin: str) -> ChatPieces:
        """The pieces without the text ``begin`` in front, which the engine's tokenizer adds by itself."""
        system = self.start_system
        return ChatPieces(
            self.start.removeprefix(begin),
            system.removeprefix(begin) if system is not None else None,
            self.system_user,
            self.user_assistant,
            self.assistant_user,
            self.end,
        )

    def render(self, turns: Turns) -> str:
        """What the Go template writes for a conversation.

        Raises:
            BundleError: it holds turns that the pieces have no text for.
        """
        text = ""
        for at, turn in enumerate(collated(turns)):
            role, is_last = turn["role"], at == len(collated(turns)) - 1
            if at == 0:
                before = self.start_system if role == "system" else self.start
                if before is None:
                    raise _not_derivable("it takes no system turn")
                text += before
            behind = {
                "system": self.system_user,
                "user": self.end if is_last else self.user_assistant,
                "assistant": self.assistant_user,
            }
            text += turn["content"] + behind[role]
        return text

    def go_template(self) -> str:
        """The template in Go's words, for a Modelfile's TEMPLATE."""
        start = "{{ " + _quoted(self.start) + " }}"
        if self.start_system is not None:
            start = '{{ if eq .Role "system" }}{{ ' + _quoted(self.start_system) + " }}{{ else }}" + start + "{{ end }}"
        user = (
            "{{ if $last }}{{ " + _quoted(self.end) + " }}{{ else }}{{ " + _quoted(self.user_assistant) + " }}{{ end }}"
        )
        return (
            "{{- range $i, $turn := .Messages }}"
            "{{- $last := eq (len (slice $.Messages $i)) 1 }}"
            "{{- if eq $i 0 }}" + start + "{{ end }}"
            "{{- .Content }}"
            '{{- if eq .Role "system" }}{{ ' + _quoted(self.system_user) + " }}"
            '{{- else if eq .Role "user" }}' + user + ""
            '{{- else if eq .Role "assistant" }}{{ ' + _quoted(self.assistant_user) + " }}"
            "{{- end }}"
            "{{- end }}"
        )


def collated(turns: Turns) -> list[dict[str, str]]:
    """The turns as Ollama hands them to a template: neighbours of one role made one, with an empty line between."""
    together: list[dict[str, str]] = []
    for turn in turns:
        if together and together[-1]["role"] == turn["role"]:
            together[-1]["content"] += "\n\n" + turn["content"]
        else:
            together.append(dict(turn))
    return together


def _between(render: Render, *roles: str) -> list[str]:
    """The text before, between and behind the turns of a conversation of marks."""
    text = render([{"role": role, "content": f"{_MARKS[role]}{at}"} for at, role in enumerate(roles)])
    pieces: list[str] = []
    for at, role in enumerate(roles):
        before, mark, text = text.partition(f"{_MARKS[role]}{at}")
        if not mark:
            raise _not_derivable(f"it leaves out or rewrites a turn of {role}")
        pieces.append(before)
    return [*pieces, text]


def _quoted(text: str) -> str:
    """A string literal of Go's."""
    escapes = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}
    return '"' + "".join(escapes.get(c) or (c if c.isprintable() else f"\\U{ord(c):08x}") for c in text) + '"'


def _not_derivable(why: str) -> BundleError:
    return BundleError(
        f"this chat template cannot be told in Ollama's words: {why}; serve the GGUF export with llama.cpp, which runs "
        "the template itself"
    )
