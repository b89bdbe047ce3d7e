"""Which long texts a cell learnt: what sets them apart from those of other cells, whatever their length."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_DIGITS = 12


@dataclass(frozen=True, order=True, slots=True)
class Texts:
    """Long texts of one kind. In order, the most random come last: those of files by the numbers in their names, as the
    authors' are called.

    Attributes:
        random_ratio: share of tokens that were replaced.
        place: among files.
        name: for people.
    """

    random_ratio: float
    place: str
    name: str


def texts_of(task: Mapping[str, Any]) -> Texts:
    """The texts of a cell, from its task's settings.

    >>> texts_of({"random_ratio": 0.6, "source": None}).name
    '60 % random'
    >>> sorted(texts_of({"random_ratio": 0.0, "source": f"r{n}.jsonl"}) for n in (100, 20))[0].name
    'r20'
    """
    ratio, source = task.get("random_ratio") or 0.0, task.get("source")
    of_ratio = f"{100 * ratio:g} % random"
    if source is None:
        return Texts(ratio, "", of_ratio)
    stem = Path(source).stem
    place = re.sub(r"\d+", lambda number: number[0].zfill(_DIGITS), stem)
    return Texts(ratio, place, f"{stem}, {of_ratio}" if ratio else stem)
