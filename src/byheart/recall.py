"""A bundle on disk, used: certified again, or asked. Each is one call on `byheart.export.bundle.Bundle`, or, where an
adapter was not made by byheart, on `byheart.export.foreign.ForeignAdapter`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from byheart.certification.certificate import Certificate
from byheart.errors import SettingsError
from byheart.export.bundle import LONGEST_ANSWER_TOKENS, Bundle
from byheart.export.foreign import ForeignAdapter, is_foreign
from byheart.memory.record import Prompt
from byheart.memory.records import Memory
from byheart.model.base import Base


def certify(
    bundle: str | Path | Bundle,
    memory: Memory | None = None,
    base: Base | None = None,
    config: str | Path | Mapping[str, Any] | None = None,
) -> Certificate:
    """Measures a bundle on this machine, now; or any PEFT adapter, on records that are given.

    Args:
        bundle: its directory, or one in memory; or the directory of an adapter that byheart did not make.
        memory: records to measure; None: those a bundle was taught.
        base: already loaded; None: the one the manifest names, in the numerics it was certified under, or the one that
            the adapter's config names.
        config: of an adapter that byheart did not make: a YAML file or nested plain values, such as
            ``{"encode": {"template": "raw"}}``. A bundle has settings of its own.

    Raises:
        ArtifactError: no bundle, an unfinished or changed one; no adapter in safetensors.
        BundleError: base model, tokenizer or chat template are not those it was learnt with, or PEFT cannot load the
            adapter onto the base.
        SettingsError: ``config`` was given for a bundle.
    """
    if not isinstance(bundle, Bundle) and is_foreign(bundle):
        return ForeignAdapter.read(bundle, config).certify(memory, base)
    if config is not None:
        raise SettingsError("config is for adapters that byheart did not make; a bundle has settings of its own")
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
