"""Named fields → a record: which fields belong together, whatever the file they stand in.

A row (a JSON object, a row of CSV or of a dataset, a mapping from Python) takes one of the `FORMS`. A field that its
form does not know is refused, never dropped: a misspelt name would otherwise lose what was meant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, cast

from byheart.errors import Problem, nearest, unknown
from byheart.memory.record import Message, Record
from byheart.memory.text import quoted, text_flaw


@dataclass(frozen=True, slots=True)
class Form:
    """Fields that make a record together.

    Attributes:
        required: (prompt field, answer field), or ("messages",).
        ignored: fields that such files are known to carry beside them and that are not learnt.
    """

    required: tuple[str, ...]
    ignored: tuple[str, ...] = ()

    @property
    def allowed(self) -> tuple[str, ...]:
        return (*self.required, "id", *self.ignored)


MESSAGES = Form(("messages",))
FORMS = (
    Form(("prompt", "completion")),
    MESSAGES,
    Form(("query", "target"), ("target_len",)),  # the paper's PhoneBook
    Form(  # the paper's long-context files
        ("question", "matching"),
        ("not_matching", "noise_count", "noise_positions", "noise_ratio", "original_token_count", "prefix_ratio_stats"),
    ),
)
"""In the order in which they are preferred where the fields present do not decide."""


def read_row(row: Mapping[str, object], where: str, forms: tuple[Form, ...] = FORMS) -> list[Record | Problem]:
    """The record in ``row``, or everything that keeps it from being one."""
    result = _record(row, where, forms)
    return [result] if isinstance(result, Record) else [Problem(where, flaw) for flaw in result]


def _record(row: Mapping[str, object], where: str, forms: tuple[Form, ...]) -> Record | list[str]:
    form, mismatches = match(tuple(row), forms)
    identifier, id_flaws = _identifier(row)
    flaws = [*mismatches, *id_flaws]
    if form is MESSAGES and "messages" in row:
        turns, turn_flaws = _conversation(row["messages"])
        return flaws + turn_flaws or Record(identifier, turns[:-1], turns[-1].content, where)
    values = {name: row[name] for name in form.required if name in row}
    flaws += [flaw for name, value in values.items() if (flaw := text_flaw(f"field {name!r}", value)) is not None]
    if flaws:
        return flaws
    prompt, answer = cast("dict[str, str]", values).values()
    return Record(identifier, prompt, answer, where)


def _identifier(row: Mapping[str, object]) -> tuple[str, list[str]]:
    value = row.get("id", "")
    if isinstance(value, int) and not isinstance(value, bool):  # the paper's files number their records
        return str(value), []
    if isinstance(value, str) and (value or "id" not in row):
        return value, []
    rule = "field 'id' must be a non-empty string or a whole number"
    return "", [f"{rule}, got {quoted(value)}; give one or leave the field out"]


@lru_cache(maxsize=256)
def match(names: tuple[str, ...], forms: tuple[Form, ...] = FORMS) -> tuple[Form, tuple[str, ...]]:
    """The form that fields of these names were meant to have, and what keeps them from it."""

    def likeness(form: Form) -> tuple[bool, int, int]:
        num_present = sum(name in names for name in form.required)
        num_near = sum(nearest(name, form.required) is not None for name in names)
        return num_present == len(form.required), num_present, num_near

    form = max(forms, key=likeness)
    _, num_present, num_near = likeness(form)
    if not num_present and num_near < len(form.required):
        choices = " or ".join("+".join(known.required) for known in forms)
        return form, (f"no field of a record in {quoted(list(names))}; a record needs {choices}",)
    strangers = [name for name in names if name not in form.allowed]
    misspelt = {nearest(name, form.allowed) for name in strangers}
    needs = " and ".join(form.required)
    flaws = [unknown("field", name, form.allowed) for name in strangers]
    flaws += [
        f"field {name!r} is missing; a record needs {needs}"
        for name in form.required
        if name not in names and name not in misspelt
    ]
    return form, tuple(flaws)


def read_pair(pair: object, where: str) -> list[Record | Problem]:
    """The record in a `Record`, a mapping of fields or a (prompt, answer) pair, or what keeps it from being one."""
    if isinstance(pair, Record):
        return [pair if pair.where else replace(pair, where=where)]
    if isinstance(pair, Mapping):
        return read_row(cast("Mapping[str, object]", pair), where)
    if not isinstance(pair, (tuple, list)) or len(cast("Sequence[object]", pair)) != 2:
        return [
            Problem(
                where,
                f"a (prompt, answer) pair, a Record or a mapping of fields is needed, got {quoted(cast(object, pair))}",
            )
        ]
    prompt, answer = cast("Sequence[Any]", pair)
    if isinstance(prompt, (tuple, list)):
        prompt, flaws = _turns(cast("Sequence[object]", prompt))
        if flaws:
            return [Problem(where, flaw) for flaw in flaws]
    return [Record("", prompt, answer, where)]  # whether these are text is for the validation that all records pass


def _conversation(value: object) -> tuple[tuple[Message, ...], list[str]]:
    """The turns of a conversation that ends in an answer."""
    if not isinstance(value, (list, tuple)):
        return (), [f"field 'messages' must be a list of messages, got {quoted(value)}"]
    turns, flaws = _turns(cast("Sequence[object]", value))
    if not flaws and (len(turns) < 2 or turns[-1].role != "assistant"):
        got = quoted([turn.role for turn in turns])
        rule = "the last of messages must be the assistant's, which is the answer, and one before it the prompt"
        flaws.append(f"{rule}; the roles here are {got}")
    return turns, flaws


def _turns(values: Sequence[object]) -> tuple[tuple[Message, ...], list[str]]:
    turns: list[Message] = []
    flaws: list[str] = []
    for number, value in enumerate(values, 1):
        if isinstance(value, Message):
            turns.append(value)
        elif isinstance(value, Mapping) and set(message := cast("Mapping[str, Any]", value)) == {"role", "content"}:
            turns.append(Message(message["role"], message["content"]))
        else:
            flaws.append(
                f"message {number} must have a role and a content and nothing else, got {quoted(cast(object, value))}"
            )
    return tuple(turns), flaws
