"""What this room asks of a tokenizer, a fast one of transformers', without importing that library.

A tokenizer carries state that its own calls change; `undisturbed` puts it back.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Protocol

from byheart.fingerprint import fingerprint


class Tokenizer(Protocol):
    """The part of transformers' tokenizers that is used here, as far as it is declared there."""

    @property
    def all_special_ids(self) -> list[int]: ...
    @property
    def added_tokens_decoder(self) -> dict[int, Any]: ...
    def __call__(self, text: Any, **kwargs: Any) -> Any: ...
    def decode(self, token_ids: Any, **kwargs: Any) -> Any: ...
    def apply_chat_template(self, conversation: Any, **kwargs: Any) -> Any: ...
    def get_chat_template(self) -> str: ...
    def get_vocab(self) -> dict[str, int]: ...


def eos_id(tokenizer: Tokenizer) -> int | None:
    """The end-of-sequence token, which not every tokenizer has."""
    return getattr(tokenizer, "eos_token_id", None)


def pad_id(tokenizer: Tokenizer) -> int | None:
    """The padding token, which not every tokenizer has."""
    return getattr(tokenizer, "pad_token_id", None)


def backend(tokenizer: Tokenizer) -> Any:
    """The ``tokenizers.Tokenizer`` that does the work of a fast tokenizer, or None for a slow one."""
    return getattr(tokenizer, "backend_tokenizer", None)


@contextmanager
def undisturbed(tokenizer: Tokenizer) -> Generator[None]:
    """Puts back, after the block, how the tokenizer reads special tokens, truncates and pads."""
    fast = backend(tokenizer)
    if fast is None:  # slow tokenizers take these as arguments only
        yield
        return
    splits_special_tokens, truncation, padding = fast.encode_special_tokens, fast.truncation, fast.padding
    try:
        yield
    finally:
        fast.encode_special_tokens = splits_special_tokens
        if truncation is not None:
            fast.enable_truncation(**truncation)
        if padding is not None:
            fast.enable_padding(**padding)


def token_ids(
    tokenizer: Tokenizer, texts: Sequence[str], *, special_tokens: bool = False, markers_are_text: bool = False
) -> list[list[int]]:
    """The ids of each text, of any length, neither truncated nor padded.

    Args:
        tokenizer: changed by the call; see `undisturbed`.
        texts: what to encode.
        special_tokens: add what the tokenizer puts around a text by itself, such as a begin-of-sequence token.
        markers_are_text: read ``<|im_start|>`` in a text as those letters, not as the control token.
    """
    if not texts:
        return []
    encoded = tokenizer(
        list(texts),
        add_special_tokens=special_tokens,
        split_special_tokens=markers_are_text,
        return_attention_mask=False,
        return_token_type_ids=False,
        verbose=False,  # longer than the model's context is told as a problem, not logged
    )
    return encoded["input_ids"]


def token_counter(tokenizer: Tokenizer) -> Callable[[str], int]:
    """How many tokens a text has as an answer, its end of turn aside: what `Memory.from_file` cuts plain text by.

    The tokenizer is left as it was.

    Example:
        >>> base = byheart.load_base(ModelConfig())                                           # doctest: +SKIP
        >>> Memory.from_file("notes.md", count_tokens=token_counter(base.tokenizer))          # doctest: +SKIP
    """

    def count(text: str) -> int:
        with undisturbed(tokenizer):
            (ids,) = token_ids(tokenizer, [text], markers_are_text=True)
        return len(ids)

    return count


def text_of(tokenizer: Tokenizer, ids: Sequence[int]) -> str:
    """The exact text of ``ids``, control tokens written out and no space tidied away."""
    return tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)


def control_ids(tokenizer: Tokenizer) -> frozenset[int]:
    """The ids that steer a model and are no text: chat markers, begin and end of sequence, padding, unknown."""
    added = tokenizer.added_tokens_decoder.items()
    return frozenset(tokenizer.all_special_ids) | {token_id for token_id, token in added if token.special}


def tokenizer_fingerprint(tokenizer: Tokenizer) -> str:
    """sha256 of all that decides which ids a text has; padding and truncation, which calls change, are left out."""
    fast = backend(tokenizer)
    if fast is None:
        return fingerprint([type(tokenizer).__name__, sorted(tokenizer.get_vocab().items())])
    return _fingerprint_of(fast.to_str())


@lru_cache(maxsize=2)
def _fingerprint_of(tokenizer: str) -> str:
    """Of a tokenizer as JSON. A vocabulary takes a second to be put in order, and every memory asks anew."""
    return fingerprint({**json.loads(tokenizer), "padding": None, "truncation": None})
