"""The records of a file, or the first of them: how a memory of one's own takes its place beside the paper's."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import PositiveInt, model_validator

from byheart.errors import SettingsError
from byheart.memory.records import Memory
from byheart.memory.tokenizer import Tokenizer, token_counter, undisturbed
from byheart.settings import Settings
from byheart.tasks.answer_tokens import first_within


class RecordsConfig(Settings):
    """A file of records, and how many of the first to take."""

    name: Literal["records"] = "records"
    source: Path
    """Anything that ``byheart learn`` reads: JSONL, CSV, text, Markdown, a dataset directory; the paper's own files."""
    num_records: PositiveInt | None = None
    """Size, in records; None, and no ``num_answer_tokens`` either: all."""
    num_answer_tokens: PositiveInt | None = None
    """Size, in answer tokens, in place of ``num_records``: as many whole records as fit."""

    @model_validator(mode="after")
    def _one_size(self) -> Self:
        if self.num_answer_tokens is not None and self.num_records is not None:
            raise ValueError(
                f"num_answer_tokens {self.num_answer_tokens} and num_records {self.num_records} both give the size; "
                "leave one of them out"
            )
        return self


def build(config: RecordsConfig, tokenizer: Tokenizer) -> Memory:
    """The memory.

    Raises:
        SettingsError: there are fewer records than asked for.
        RecordsError: the file cannot be read.
    """
    memory = Memory.from_file(config.source, count_tokens=token_counter(tokenizer))
    if config.num_answer_tokens is not None:
        with undisturbed(tokenizer):
            return Memory.from_pairs(first_within(memory, config.num_answer_tokens, tokenizer, f"task {config.name}"))
    if config.num_records is None:
        return memory
    if len(memory) < config.num_records:
        raise SettingsError(
            f"task {config.name}: num_records {config.num_records:,}: {config.source} has {len(memory):,}; ask for "
            "no more"
        )
    return Memory.from_pairs(memory.records[: config.num_records])
