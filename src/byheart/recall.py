"""A bundle on disk, used: certified again, or asked. Each is one call on `byheart.export.bundle.Bundle`."""

from __future__ import annotations

from pathlib import Path

from byheart.certification.certificate import Certificate
from byheart.export.bundle import LONGEST_ANSWER_TOKENS, Bundle
from byheart.memory.record import Prompt
from byheart.memory.records import Memory
from byheart.model.base import Base


def certify(bundle: str | Path | Bundle, memory: Memory | None = None, base: Base | None = None) -> Certificate:
    """Measures a bundle on this machine, now.

    Args:
        bundle: its directory, or one in memory.
        memory: records to measure; None: those it was taught.
        base: already loaded; None: the one the manifest names, in the numerics it was certified under.

    Raises:
        ArtifactError: no bundle, an unfinished or changed one.
        BundleError: base model, tokenizer or chat template are not those it was learnt with.
    """
    return (bundle if isinstance(bundle, Bundle) else Bundle.read(bundle, base)).certify(memory)


def recite(
    bundle: str | Path | Bundle,
    prompt: Prompt,
    base: Base | None = None,
    max_new_tokens: int = LONGEST_ANSWER_TOKENS,
) -> str:
    """What a bundle's model answers to ``prompt`` in greedy decoding.

    Args:
        bundle: its directory, or one in memory.
        prompt: one user turn, or the turns of a conversation.
        base: as for `certify`.
        max_new_tokens: where an answer that does not end is cut.

    Raises:
        ArtifactError, BundleError: as for `certify`.
    """
    return (bundle if isinstance(bundle, Bundle) else Bundle.read(bundle, base)).recite(prompt, max_new_tokens)
