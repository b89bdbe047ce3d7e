"""Rotary embeddings that change with the longest sequence of a batch.

Models of rope type ``longrope`` (Phi-3 128k) or ``dynamic`` take other frequencies for every row of a batch as soon as
one row is longer than the context they were first trained with: a short record's p would depend on its company, and
cached activations on the batch they were computed in. Up to that length nothing changes, so byheart stays below it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

CHANGING = ("longrope", "su")
"""Kinds beside all whose name contains ``dynamic``; ``su`` is the older name of longrope."""


def short_context(config: Any) -> int | None:
    """The most tokens of a sequence up to which the rotary embeddings never change; None where they never do.

    Args:
        config: transformers' config of a text model.
    """
    limits: list[int] = []
    for rope in _rope_parameters(config):
        kind = str(rope.get("rope_type", rope.get("type")))
        if kind in CHANGING or "dynamic" in kind:
            known = (
                rope.get("original_max_position_embeddings"),
                getattr(config, "original_max_position_embeddings", None),
                getattr(config, "max_position_embeddings", None),
            )
            limits.extend(int(limit) for limit in known if limit)
    return min(limits, default=None)


def _rope_parameters(config: Any) -> Iterator[Mapping[str, Any]]:
    """The config's rotary settings: one mapping, or one for each type of layer."""
    for name in ("rope_parameters", "rope_scaling"):
        given = getattr(config, name, None)
        if isinstance(given, Mapping):
            yield given
            yield from (inner for inner in given.values() if isinstance(inner, Mapping))
