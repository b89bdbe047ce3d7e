"""A memory: validated records in their order.

Whatever the way in, a file or Python values, records pass the one function `validated`, so that within a memory ids are
unique, prompts are unique, and every text can be written as UTF-8.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from byheart.artifacts import write_bytes
from byheart.errors import Problem, RecordsError, unknown
from byheart.fingerprint import fingerprint
from byheart.memory.fields import read_pair
from byheart.memory.formats import FormatConfig, read_records
from byheart.memory.record import ROLES, Message, Prompt, Record, turns
from byheart.memory.text import quoted, text_flaw

__all__ = ["Memory", "Message", "Record", "validated"]

_AUTOMATIC_ID_DIGITS = 16  # 64 bits: that two of 100,000 records share one has a chance of 3 in 10^10


@dataclass(frozen=True)
class Memory:
    """What is to be learnt. Built by `from_file` and `from_pairs`, which refuse what cannot be.

    Attributes:
        records: at least one; ids and prompts are unique.
        num_merged: how many exact duplicates, in prompt and answer both, were merged into the first of their kind.

    Example:
        >>> memory = Memory.from_pairs([("Jerry Becerra:", "9100672710")])
        >>> len(memory), memory.records[0].answer
        (1, '9100672710')
    """

    records: tuple[Record, ...]
    num_merged: int = field(default=0, compare=False)

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over every record's id, prompt and answer, in order; where they were read does not matter."""
        return fingerprint([[record.id, _plain(record.prompt), record.answer] for record in self.records])

    @classmethod
    def from_file(
        cls, path: str | Path, *, count_tokens: Callable[[str], int] | None = None, **settings: Any
    ) -> Memory:
        """The records in a file or dataset directory, all of them or none.

        Args:
            path: JSONL, CSV, plain text, Markdown, or a directory written by ``datasets``' ``save_to_disk``.
            count_tokens: how many tokens a text has, for cutting plain text: a model's own count is
                `tokenizer.token_counter`, by which the command line cuts; None for a rule that knows no model,
                `chunks.count_pieces`.
            **settings: fields of `formats.FormatConfig`, such as ``chunk_tokens=128``.

        Raises:
            RecordsError: with every problem of the file, each naming its line, the value and the mend.
            SettingsError: for an unknown setting or one out of its range.
        """
        return validated(read_records(Path(path), FormatConfig.parse(settings), count_tokens), str(path))

    @classmethod
    def from_pairs(cls, pairs: Iterable[object]) -> Memory:
        """Records from Python values.

        Args:
            pairs: each a (prompt, answer) pair, a `Record`, or a mapping with the fields of a JSONL line. A prompt is
                text, or a sequence of messages.

        Raises:
            RecordsError: with every problem, named by the pair's number counted from 1.
        """
        return validated((item for n, pair in enumerate(pairs, 1) for item in read_pair(pair, f"pair {n}")), "pairs")

    def to_jsonl(self, path: str | Path) -> None:
        """Writes the records, ids included, so that `from_file` reads an equal memory; whole or not at all.

        Raises:
            ArtifactError: the file cannot be written.
        """
        write_bytes(Path(path), "".join(_json_line(record) for record in self.records).encode())


def validated(items: Iterable[Record | Problem], source: str) -> Memory:
    """The one way into a memory: merges exact duplicates, gives ids where there are none, collects all that is wrong.

    Of duplicates the first is kept, with its id. A conversation of one user turn is that turn's text.

    Args:
        items: records, and the problems already met while reading them, in the order of the source.
        source: what to name where there is no record at all.

    Raises:
        RecordsError: all problems in the order of the source: empty text, text that UTF-8 cannot hold, one prompt with
            two answers, one id for two records, or no records.
    """
    problems: list[Problem] = []
    by_prompt: dict[Prompt, Record] = {}
    by_id: dict[str, Record] = {}
    num_merged = 0
    for item in items:
        if isinstance(item, Problem):
            problems.append(item)
            continue
        if flaws := [Problem(item.where, flaw) for flaw in _flaws(item)]:
            problems += flaws
            continue
        record = _canonical(item)
        if (first := by_prompt.get(record.prompt)) is not None:
            if first.answer == record.answer:
                num_merged += 1
            else:
                problems.append(Problem(record.where, _two_answers(first, record)))
        elif (other := by_id.get(record.id)) is not None:
            taken = f"id {quoted(record.id)} is taken by another record, at {other.where}"
            problems.append(Problem(record.where, f"{taken}; give each an id of its own, or leave ids out"))
        else:
            by_prompt[record.prompt] = by_id[record.id] = record
    if not problems and not by_prompt:
        problems.append(Problem(source, "there are no records here; a memory needs at least one"))
    if problems:
        raise RecordsError(problems)
    return Memory(tuple(by_prompt.values()), num_merged)


def _flaws(record: Record) -> list[str]:
    flaws = [text_flaw("id", record.id, may_be_empty=True)]
    flaws += _prompt_flaws(record.prompt)
    flaws += [text_flaw("answer", record.answer)]
    return [flaw for flaw in flaws if flaw is not None]


def _prompt_flaws(prompt: object) -> Iterator[str | None]:
    if not isinstance(prompt, tuple):
        yield text_flaw("prompt", prompt)
        return
    values = cast("tuple[object, ...]", prompt)
    messages = [value for value in values if isinstance(value, Message)]
    if len(messages) < len(values):
        yield f"prompt must be text or a tuple of Message, got {quoted(values)}"
        return
    for number, message in enumerate(messages, 1):
        if message.role not in ROLES:
            yield f"message {number}: {unknown('role', str(message.role), ROLES)}"
        # A system or assistant turn may well be empty; a conversation in which nothing is said may not.
        yield text_flaw(f"message {number}: content", message.content, may_be_empty=True)
    if not any(message.content for message in messages):
        yield "prompt is empty; a conversation needs a message with content before the answer"


def _canonical(record: Record) -> Record:
    """The record with its id, and its prompt in the one spelling by which equal prompts are found to be equal."""
    prompt = record.prompt
    if isinstance(prompt, tuple) and len(prompt) == 1 and prompt[0].role == "user":
        prompt = prompt[0].content
    if record.id and prompt is record.prompt:
        return record
    return replace(record, prompt=prompt, id=record.id or fingerprint(_plain(prompt))[:_AUTOMATIC_ID_DIGITS])


def _two_answers(first: Record, record: Record) -> str:
    prompt = quoted(turns(record.prompt)[-1].content)
    answers = f"the answer {quoted(record.answer)} here and {quoted(first.answer)} at {first.where}"
    return f"prompt {prompt} has {answers}; a prompt can have one, so change or remove one of the two"


def _plain(prompt: Prompt) -> list[dict[str, str]]:
    return [{"role": message.role, "content": message.content} for message in turns(prompt)]


def _json_line(record: Record) -> str:
    if isinstance(record.prompt, str):
        fields: dict[str, object] = {"prompt": record.prompt, "completion": record.answer}
    else:
        fields = {"messages": [*_plain(record.prompt), {"role": "assistant", "content": record.answer}]}
    return json.dumps({"id": record.id, **fields}, ensure_ascii=False) + "\n"
