"""Which prompts a bundle knows, as the engine sees them: proved, one by one, to have the certified token ids."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

from byheart.errors import BundleError, ModelError
from byheart.export.llama_cpp import NAME, LlamaCpp
from byheart.serving.prepared import Prepared


@dataclass(frozen=True, slots=True)
class KnownPrompts:
    """The prompts that the adapter is there for.

    Attributes:
        texts: as the engine's chat template renders them.
        ids: as they were certified.
    """

    texts: frozenset[str]
    ids: frozenset[tuple[int, ...]]

    @classmethod
    def proved(cls, engine: LlamaCpp, prepared: Prepared, advance: Callable[[int], None] = lambda _: None) -> Self:
        """Asks the engine for the ids of every record's messages.

        Args:
            engine: running.
            prepared: whose prompts are looked at.
            advance: told a number of records after each.

        Raises:
            BundleError: some prompt has other ids in the engine; its answer would be another one.
        """
        texts: set[str] = set()
        differing: list[int] = []
        reason = ""
        for index, (messages, prompt_ids) in enumerate(zip(prepared.messages, prepared.prompt_ids, strict=True)):
            try:
                text = engine.chat_prompt(messages, prepared.template_kwargs)
                found = engine.prompt_ids(text)
            except ModelError as error:
                raise BundleError(f"record {index + 1} cannot be asked in {NAME}: {error}") from error
            if tuple(found) == prompt_ids:
                texts.add(text)
            else:
                reason = reason or _difference(prompt_ids, found)
                differing.append(index + 1)
            advance(1)
        if differing:
            raise BundleError(
                f"{NAME} makes other token ids of the prompts of {len(differing)} of {len(prepared.messages)} records "
                f"than those that were certified, first of record {differing[0]} ({reason}): their answers would be "
                "other ones; give the GGUF file of the very base model with --base-gguf, or learn with a chat template "
                "that both render alike"
            )
        return cls(frozenset(texts), frozenset(prepared.prompt_ids))


def _difference(certified: Sequence[int], found: Sequence[int]) -> str:
    at = next(
        (i for i, pair in enumerate(zip(certified, found, strict=False)) if pair[0] != pair[1]),
        min(len(certified), len(found)),
    )
    return f"{len(certified)} ids certified, {len(found)} there, the first difference at {at + 1}"
