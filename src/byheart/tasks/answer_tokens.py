"""Answers in a tokenizer's tokens, and the size of a memory as the paper counts it: answer tokens, no end of turn.

Answers are encoded, and proved to come back to the letter, by the encoder that learning uses. Their ids do not depend
on the prompt; one prompt stands for all, so that a tokenizer needs no chat template.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from byheart.errors import Problem, RecordsError, SettingsError
from byheart.memory.answers import AnswerEncoder, decode_answer
from byheart.memory.record import Record
from byheart.memory.records import Memory
from byheart.memory.tokenizer import Tokenizer, token_ids, undisturbed

_PROMPT = "Recall:"
_RECORDS_AT_ONCE = 512  # a tokenizer's call costs as much as many short texts


class AnswerTokens:
    """Text ↔ ids of answers, for one tokenizer, whose state it changes; see `byheart.memory.tokenizer.undisturbed`."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._encoder = AnswerEncoder(tokenizer)
        (self._prompt_ids,) = token_ids(tokenizer, [_PROMPT])

    def encode(self, answers: Sequence[str]) -> list[tuple[int, ...] | str]:
        """The ids of each answer, or in their place why it cannot be given back."""
        return self._encoder.encode([self._prompt_ids] * len(answers), answers)

    def decode(self, ids: Sequence[int]) -> str:
        """The text that ``ids`` are as an answer."""
        return decode_answer(self._prompt_ids, ids, self._tokenizer)

    def closest(self, answer: str) -> tuple[int, ...]:
        """The ids of an answer; where it cannot be given back, those that the tokenizer has for it all the same."""
        (ids,) = self.encode([answer])
        return tuple(token_ids(self._tokenizer, [answer], markers_are_text=True)[0]) if isinstance(ids, str) else ids


def lengths(records: Iterable[Record], tokenizer: Tokenizer) -> Iterator[int]:
    """How many tokens the answer of each record has; records are taken a block at a time.

    The tokenizer is changed; see `byheart.memory.tokenizer.undisturbed`.

    Raises:
        RecordsError: the tokenizer cannot give the answers of a block back.
    """
    answers, rest = AnswerTokens(tokenizer), iter(records)
    while block := list(islice(rest, _RECORDS_AT_ONCE)):
        results = answers.encode([record.answer for record in block])
        flaws = [
            Problem(record.where or f"record {record.id}", result)
            for record, result in zip(block, results, strict=True)
            if isinstance(result, str)
        ]
        if flaws:
            raise RecordsError(flaws)
        yield from map(len, results)


def num_answer_tokens(memory: Memory, tokenizer: Tokenizer) -> int:
    """ℓ of a memory for a tokenizer, which is left as it was.

    Raises:
        RecordsError: the tokenizer cannot give the answers back.
    """
    with undisturbed(tokenizer):
        return sum(lengths(memory, tokenizer))


def first_within(records: Iterable[Record], num_answer_tokens: int, tokenizer: Tokenizer, task: str) -> list[Record]:
    """The first records, whole ones, whose answers have ``num_answer_tokens`` tokens together or as few less as can be.

    Args:
        records: as many as there are; they are drawn upon no further than a block beyond what is taken.
        num_answer_tokens: at least 1.
        tokenizer: changed; see `byheart.memory.tokenizer.undisturbed`.
        task: what to name in errors.

    Raises:
        SettingsError: the first record alone has more, or there are not enough records.
    """
    source = iter(records)
    taken: list[Record] = []
    num_tokens = 0
    while block := list(islice(source, _RECORDS_AT_ONCE)):
        for record, length in zip(block, lengths(block, tokenizer), strict=True):
            num_tokens += length
            if num_tokens > num_answer_tokens:
                if not taken:
                    raise SettingsError(
                        f"{task}: num_answer_tokens {num_answer_tokens:,}: the first record alone has {length:,} "
                        f"answer tokens for this tokenizer; ask for {length:,} or more"
                    )
                return taken
            taken.append(record)
    if num_tokens < num_answer_tokens:
        raise SettingsError(
            f"{task}: num_answer_tokens {num_answer_tokens:,}: all {len(taken):,} records together have {num_tokens:,} "
            f"answer tokens for this tokenizer; ask for {num_tokens:,} or fewer"
        )
    return taken
