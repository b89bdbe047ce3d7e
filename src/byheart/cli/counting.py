"""How plain text is cut for a model: by the count of its own tokenizer."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from byheart.cli.live import Narrator
from byheart.model.config import ModelConfig


def counter(config: Callable[[], ModelConfig], narrator: Narrator) -> Callable[[str], int]:
    """Counts the tokens of a text; the tokenizer, and no model, is loaded for the first text that there is to count.

    Args:
        config: tells the model; not asked before.
        narrator: tells of the loading.
    """

    @cache
    def loaded() -> Callable[[str], int]:
        from byheart.memory.tokenizer import token_counter
        from byheart.model.catalog import load_tokenizer

        model = config()
        narrator.begin(f"loading the tokenizer of {model.name}")
        return token_counter(load_tokenizer(model, narrator.say))

    def count(text: str) -> int:
        return loaded()(text)

    return count
