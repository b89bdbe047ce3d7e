"""The Long-Context Memorization Stress Test: one record, whose answer is the first ℓ tokens of a text.

A share of the tokens is replaced by random ones, the random-token ratio: the paper's r0, r20, r60, r80 and r100, all
random. The text is the beginning of "Northanger Abbey", which the package ships (see NOTICE beside it), or that of a
file. The answer has exactly ℓ tokens: it is encoded, decoded and encoded again to the letter.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Literal

from pydantic import Field, PositiveInt

from byheart.errors import Problem, RecordsError, SettingsError
from byheart.memory.record import Record
from byheart.memory.records import Memory
from byheart.memory.tokenizer import Tokenizer, undisturbed
from byheart.settings import Settings
from byheart.tasks.answer_tokens import AnswerTokens
from byheart.tasks.random_tokens import random_ids, replaced

PROMPT = "Please output the content of the vector memory injected into the activations."
"""The paper's key."""

_SHIPPED = "northanger_abbey.txt"
_WHOLE = 2**40  # tokens; no text is cut at that
_CHARACTERS_A_TOKEN = 16  # of prose, more than enough, so that no long file is encoded for its first lines
_FARTHEST_CUT = 64  # characters


class LongContextConfig(Settings):
    """How much of which text, and how much of it is random."""

    name: Literal["long-context"] = "long-context"
    num_answer_tokens: PositiveInt = 100
    """ℓ, exactly. The paper has 50 to 10,000; the shipped text has about 15,000, random text is as long as wanted."""
    random_ratio: float = Field(default=0.0, ge=0, le=1)
    """Share of the answer's tokens that are replaced by random ones. At 1 nothing is left of the text."""
    seed: int = Field(default=42, ge=0, lt=2**31)
    """Of which tokens are replaced, and by which."""
    source: Path | None = None
    """A text file, or a file of one record, such as the paper's own, whose answer it is; None: the shipped one."""


def build(config: LongContextConfig, tokenizer: Tokenizer) -> Memory:
    """The memory of one record.

    Raises:
        SettingsError: the text has too few tokens, or cannot be cut after that many.
        RecordsError: the source cannot be read, or has more than one record.
    """
    text = read_text(config.source)
    with undisturbed(tokenizer):
        answers = AnswerTokens(tokenizer)
        if config.random_ratio == 1:
            answer = answers.decode(random_ids(config.num_answer_tokens, tokenizer, config.seed))
        else:
            answer = beginning(text, config.num_answer_tokens, answers)
            if config.random_ratio > 0:
                ids = answers.closest(answer)
                answer = answers.decode(replaced(ids, config.random_ratio, tokenizer, config.seed))
    return Memory.from_pairs([Record("", PROMPT, answer)])


def read_text(source: Path | None) -> str:
    """The whole base text, to the byte.

    Raises:
        RecordsError: it cannot be read, or is not one text.
    """
    if source is None:
        return files("byheart.tasks").joinpath(_SHIPPED).read_text(encoding="utf-8")
    memory = Memory.from_file(source, chunk_tokens=_WHOLE)
    if len(memory) != 1:
        what = (
            f"{len(memory):,} records, of which none is the one text to be learnt; give a file of one, or a text file"
        )
        raise RecordsError([Problem(str(source), what)])
    return memory.records[0].answer


def beginning(text: str, num_tokens: int, answers: AnswerTokens) -> str:
    """The beginning of ``text`` that, encoded by itself, has exactly ``num_tokens`` tokens.

    It ends where the whole text's first ``num_tokens`` do, or within a few characters of that: the beginning of a word
    can have more tokens than the word.

    Raises:
        SettingsError: the text has fewer tokens, or no beginning of it has that many.
    """
    for some in (text[: _CHARACTERS_A_TOKEN * num_tokens], text):
        if len(ids := answers.closest(some)) >= num_tokens:
            break
    else:
        raise SettingsError(
            f"num_answer_tokens {num_tokens:,}: the text has {len(ids):,} tokens for this tokenizer; ask for that many "
            "or fewer, or give a longer source"
        )
    end = len(answers.decode(ids[:num_tokens]))
    cuts = range(max(end - _FARTHEST_CUT, 1), min(end + _FARTHEST_CUT, len(text)) + 1)
    results: list[tuple[int, ...] | str] = []
    for cut in sorted(cuts, key=lambda cut: abs(cut - end)):
        (result,) = answers.encode([text[:cut]])
        if not isinstance(result, str) and len(result) == num_tokens:
            return text[:cut]
        results.append(result)
    lengths = [len(result) for result in results if not isinstance(result, str)]
    if not lengths:
        raise SettingsError(f"source: its text cannot be learnt with this tokenizer: {results[0]}")
    near = min(lengths, key=lambda length: abs(length - num_tokens))
    raise SettingsError(
        f"num_answer_tokens {num_tokens:,}: no beginning of the text has just as many for this tokenizer, as the next "
        f"character adds or splits more than one; ask for {near:,}"
    )
