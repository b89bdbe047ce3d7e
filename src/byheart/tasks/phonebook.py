"""PhoneBook: many short records, a name and a ten-digit number each, `Jerry Becerra:` → `9100672710`.

The paper's sizes are answer tokens: 1k, 2k, 4k, 8k, 12k, 16k, 24k and 32k, each a prefix of the next. How many numbers
that is depends on the tokenizer: Qwen's has ten tokens for one, Llama 3's four.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, PositiveInt, model_validator

from byheart.errors import SettingsError
from byheart.memory.record import Record
from byheart.memory.records import Memory
from byheart.memory.tokenizer import Tokenizer, undisturbed
from byheart.settings import Settings
from byheart.tasks.answer_tokens import first_within
from byheart.tasks.draws import Draws
from byheart.tasks.names import FIRST_NAMES, SURNAMES

DEFAULT_ANSWER_TOKENS = 1000
"""The smallest of the paper's sizes."""

_LEAST_NUMBER, _NUM_NUMBERS = 10**9, 9 * 10**9  # ten digits, the first not 0


class PhonebookConfig(Settings):
    """Invented names and numbers, or the first records of a file."""

    name: Literal["phonebook"] = "phonebook"
    num_answer_tokens: PositiveInt | None = None
    """Size, in answer tokens: as many whole records as fit. 1000 where ``num_pairs`` is not given either."""
    num_pairs: PositiveInt | None = None
    """Size, in records, in place of ``num_answer_tokens``."""
    seed: int = Field(default=42, ge=0, lt=2**31)
    """Of names and numbers. A ``source`` has its own, and makes no use of it."""
    source: Path | None = None
    """A file of records, such as the paper's own, to take the first of; None: names and numbers are drawn."""

    @model_validator(mode="after")
    def _one_size(self) -> Self:
        if self.num_answer_tokens is not None and self.num_pairs is not None:
            raise ValueError(
                f"num_answer_tokens {self.num_answer_tokens} and num_pairs {self.num_pairs} both give the size; "
                "leave one of them out"
            )
        return self


def build(config: PhonebookConfig, tokenizer: Tokenizer) -> Memory:
    """The memory; the same seed gives a smaller one as the beginning of a larger one.

    Raises:
        SettingsError: there are not as many names or records.
        RecordsError: the source cannot be read.
    """
    records = contacts(config.seed) if config.source is None else Memory.from_file(config.source)
    if config.num_pairs is None:
        with undisturbed(tokenizer):
            wanted = config.num_answer_tokens or DEFAULT_ANSWER_TOKENS
            taken = first_within(records, wanted, tokenizer, f"task {config.name}")
    else:
        taken = list(islice(records, config.num_pairs))
        if len(taken) < config.num_pairs:
            raise SettingsError(
                f"task {config.name}: num_pairs {config.num_pairs:,}: there are {len(taken):,}; ask for no more"
            )
    return Memory.from_pairs(taken)


def contacts(seed: int) -> Iterator[Record]:
    """People nobody is, in an order of their own for each seed: no name twice, no number twice.

    A number has ten digits of which the first is not 0, each as likely as the others.

    >>> next(contacts(42)).prompt
    'Oscar Brambleham:'
    """
    numbers, used = Draws("phonebook numbers", seed), set[int]()
    for place in Draws("phonebook names", seed).order(len(FIRST_NAMES) * len(SURNAMES)):
        first_name, surname = FIRST_NAMES[place % len(FIRST_NAMES)], SURNAMES[place // len(FIRST_NAMES)]
        number = _LEAST_NUMBER + numbers.below(_NUM_NUMBERS)
        while number in used:
            number = _LEAST_NUMBER + numbers.below(_NUM_NUMBERS)
        used.add(number)
        yield Record("", f"{first_name} {surname}:", str(number))
