"""A memory → token ids: the exact prompt, and the exact answer with the token that ends its turn.

Needs a tokenizer and no model. What comes out is what is learnt, certified and recited; nothing later encodes again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from byheart.errors import Problem, RecordsError, SettingsError
from byheart.fingerprint import fingerprint
from byheart.memory.answers import AnswerEncoder, decode_answer
from byheart.memory.record import Record
from byheart.memory.records import Memory
from byheart.memory.template import EncodeConfig, encode_prompt, encode_prompts, find_stop_id, template_fingerprint
from byheart.memory.tokenizer import Tokenizer, pad_id, tokenizer_fingerprint, undisturbed

__all__ = ["EncodeConfig", "EncodedMemory", "EncodedRecord", "Tokenizer", "decode_answer", "encode", "encode_prompt"]

_RECORDS_AT_ONCE = 512  # enough to keep a tokenizer's threads busy, few enough to keep little text in memory


@dataclass(frozen=True, slots=True)
class EncodedRecord:
    """A record as a model sees it.

    Attributes:
        id: the record's.
        prompt_ids: everything before the answer, at least one token.
        answer_ids: the answer, and the token that ends its turn where that is learnt.
    """

    id: str
    prompt_ids: tuple[int, ...]
    answer_ids: tuple[int, ...]

    @property
    def num_tokens(self) -> int:
        """Prompt and answer together."""
        return len(self.prompt_ids) + len(self.answer_ids)


@dataclass(frozen=True)
class EncodedMemory:
    """A memory in one tokenizer's ids.

    Attributes:
        records: in the memory's order.
        stop_id: the token that ends the assistant's turn, learnt or not; None where the tokenizer has none.
        learn_end: whether ``stop_id`` is the last of every record's ``answer_ids``.
        pad_id: a valid id to fill batches with; no position that counts ever sees it.
        tokenizer_fingerprint: of all that decides which ids a text has.
        template_fingerprint: of all that decides how a prompt is rendered.
    """

    records: tuple[EncodedRecord, ...]
    stop_id: int | None
    learn_end: bool
    pad_id: int
    tokenizer_fingerprint: str
    template_fingerprint: str

    def __len__(self) -> int:
        return len(self.records)

    @cached_property
    def num_answer_tokens(self) -> int:
        """ℓ: what has to be remembered, in tokens, the ends of turns included where they are learnt."""
        return sum(len(record.answer_ids) for record in self.records)

    @cached_property
    def prompt_fingerprint(self) -> str:
        """sha256 over the exact prompt ids of every record, in order."""
        return fingerprint([record.prompt_ids for record in self.records])

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over everything that learning and certifying depend on; ``pad_id`` is not of that."""
        return fingerprint(
            {
                "records": [[record.id, record.prompt_ids, record.answer_ids] for record in self.records],
                "stop_id": self.stop_id,
                "learn_end": self.learn_end,
                "tokenizer": self.tokenizer_fingerprint,
                "template": self.template_fingerprint,
            }
        )


def encode(
    memory: Memory, tokenizer: Tokenizer, config: EncodeConfig | None = None, max_tokens: int | None = None
) -> EncodedMemory:
    """Every record in the tokenizer's ids, proved to decode to the letter. The tokenizer is left as it was.

    Args:
        memory: what is to be learnt.
        tokenizer: the base model's.
        config: how text becomes ids; by default through the chat template, the end of the turn learnt.
        max_tokens: the model's context: the most tokens a prompt and its answer may have together; None for no bound.

    Raises:
        RecordsError: with every record that cannot be learnt and why: its prompt cannot be rendered, its answer does
            not survive encoding and decoding, it is too long, or its prompt has the ids of one with another answer.
        SettingsError: there is no chat template or no end-of-turn token, and the settings ask for one.
    """
    config = config or EncodeConfig()
    stop_id = find_stop_id(tokenizer, config)
    if stop_id is None and config.learn_end:
        raise SettingsError(
            "learn_end: true needs a token that ends the answer, and neither the chat template nor the tokenizer has "
            "one; set learn_end: false, or give the tokenizer an eos_token"
        )
    end = (stop_id,) if stop_id is not None and config.learn_end else ()
    records: list[EncodedRecord] = []
    problems: list[Problem] = []
    by_prompt: dict[tuple[int, ...], Record] = {}
    with undisturbed(tokenizer):
        for record, result in zip(memory, _encode_all(memory.records, tokenizer, config, end), strict=True):
            if isinstance(result, EncodedRecord):
                records.append(result)
                flaw = _flaw(record, result, by_prompt, max_tokens)
            else:
                flaw = result
            if flaw is not None:
                problems.append(Problem(record.where or f"record {record.id}", flaw))
    if problems:
        raise RecordsError(problems)
    return EncodedMemory(
        records=tuple(records),
        stop_id=stop_id,
        learn_end=config.learn_end,
        pad_id=next((known for known in (pad_id(tokenizer), stop_id) if known is not None), 0),
        tokenizer_fingerprint=tokenizer_fingerprint(tokenizer),
        template_fingerprint=template_fingerprint(tokenizer, config, stop_id),
    )


def _encode_all(
    records: Sequence[Record], tokenizer: Tokenizer, config: EncodeConfig, end: tuple[int, ...]
) -> Iterator[EncodedRecord | str]:
    """Each record encoded, or why it cannot be."""
    encoder = AnswerEncoder(tokenizer)
    for start in range(0, len(records), _RECORDS_AT_ONCE):
        some = records[start : start + _RECORDS_AT_ONCE]
        prompts = encode_prompts([record.prompt for record in some], tokenizer, config)
        good = [(ids, record.answer) for ids, record in zip(prompts, some, strict=True) if not isinstance(ids, str)]
        answers = iter(encoder.encode([ids for ids, _ in good], [answer for _, answer in good]))
        for record, prompt_ids in zip(some, prompts, strict=True):
            if isinstance(prompt_ids, str):
                yield prompt_ids
            else:
                answer_ids = next(answers)
                yield (
                    answer_ids
                    if isinstance(answer_ids, str)
                    else EncodedRecord(record.id, prompt_ids, answer_ids + end)
                )


def _flaw(
    record: Record, encoded: EncodedRecord, by_prompt: dict[tuple[int, ...], Record], max_tokens: int | None
) -> str | None:
    """What keeps a record from being learnt beside those before it; notes its prompt."""
    first = by_prompt.setdefault(encoded.prompt_ids, record)
    if first.answer != record.answer:
        return (
            f"prompt has the same token ids as the one at {first.where}, which has another answer: what differs in "
            "their texts is dropped by the template or the tokenizer; make them differ by more than that"
        )
    if max_tokens is not None and encoded.num_tokens > max_tokens:
        lengths = f"{len(encoded.prompt_ids):,} tokens of prompt and {len(encoded.answer_ids):,} of answer"
        return f"{lengths} are more than the model's context of {max_tokens:,}; shorten the record or split it"
    return None
