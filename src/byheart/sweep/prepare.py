"""Drafts → cells: every task's records made, and proved to be such as can be learnt, before anything runs.

Needs the tokenizers of the base models, and no model. What several drafts have in common is done once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from byheart.errors import ByheartError, SettingsError
from byheart.fingerprint import canonical_json
from byheart.memory.encode import EncodedMemory, encode
from byheart.memory.records import Memory
from byheart.model.catalog import load_tokenizer
from byheart.model.config import ModelConfig
from byheart.sweep.cell import Cell
from byheart.sweep.grid import Draft
from byheart.tasks.registry import build, build_unseen, unseen_flaw


@dataclass(frozen=True, slots=True)
class _Made:
    """A task's records, as text and as the model reads them, and those that are asked for and not learnt."""

    memory: Memory
    encoded_fingerprint: str
    num_answer_tokens: int
    num_tokens: int
    unseen: Memory | None
    num_unseen_tokens: int


def prepare(
    drafts: Sequence[Draft],
    say: Callable[[str], None] = lambda _: None,
    tokenizer_of: Callable[[ModelConfig, Callable[[str], None]], Any] = load_tokenizer,
) -> list[Cell]:
    """The cells of a sweep, in the drafts' order.

    Args:
        drafts: as `byheart.sweep.grid.expand` gives them.
        say: told in a sentence when something takes long.
        tokenizer_of: how a model's tokenizer is come by.

    Raises:
        SettingsError: records that cannot be made or cannot be learnt, and base models without a tokenizer: each
            problem once, with the number of cells that have it.
    """
    tokenizers: dict[str, Any] = {}
    made: dict[str, _Made | str] = {}
    cells: list[Cell] = []
    problems: Counter[str] = Counter()
    for draft in drafts:
        model = draft.run.model
        key = canonical_json([draft.task, draft.run.encode, model.name, model.revision])
        if key not in made:
            try:
                of_model = canonical_json([model.name, model.revision])
                if of_model not in tokenizers:
                    tokenizers[of_model] = tokenizer_of(model, say)
                made[key] = _made(draft, tokenizers[of_model])
            except ByheartError as error:
                made[key] = f"task {draft.task.name}: {error}"
        found = made[key]
        if isinstance(found, str):
            problems[found] += 1
        else:
            counts = found.num_answer_tokens, found.num_tokens
            asked = found.unseen, found.num_unseen_tokens
            cells.append(
                Cell(draft.run, draft.task, draft.axes, found.memory, found.encoded_fingerprint, *counts, *asked)
            )
    if problems:
        raise SettingsError("\n".join(f"{told} ({count} cells)" for told, count in problems.items()))
    return cells


def _made(draft: Draft, tokenizer: Any) -> _Made:
    memory = build(draft.task, tokenizer)
    encoded = encode(memory, tokenizer, draft.run.encode)
    unseen, num_unseen_tokens = None, 0
    if unseen_flaw(draft.task.name) is None:
        unseen = build_unseen(draft.task, tokenizer)
        num_unseen_tokens = _num_tokens(encode(unseen, tokenizer, draft.run.encode))
    return _Made(
        memory, encoded.fingerprint, encoded.num_answer_tokens, _num_tokens(encoded), unseen, num_unseen_tokens
    )


def _num_tokens(encoded: EncodedMemory) -> int:
    return sum(record.num_tokens for record in encoded.records)
