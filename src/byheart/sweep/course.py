"""How a cell's run went, epoch by epoch: two curves in its tokens' file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from byheart.errors import ArtifactError

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True)
class Course:
    """A run's epochs, the first of them epoch 1, as training saw them.

    Attributes:
        nll_nats: mean loss of the answer tokens that the epoch visited, each just before the step that learnt from it.
        num_stubborn_tokens: of all records shown so far, the answer tokens at or below p = 0.5 when last seen.
    """

    nll_nats: tuple[float, ...]
    num_stubborn_tokens: tuple[int, ...]


def course_of(tokens: Mapping[str, np.ndarray], folder: Path) -> Course | None:
    """The epochs of a cell of a sweep; None where an earlier byheart ran it, which kept none.

    Args:
        tokens: of the cell, by the names that `byheart.sweep.measure.measured` gives them.
        folder: that they are from, for an error.

    Raises:
        ArtifactError: they are not whole.
    """
    curves = [tokens[curve].tolist() for curve in ("epoch_nll_nats", "epoch_stubborn_tokens") if curve in tokens]
    if not curves:
        return None
    if len(curves) != 2 or len(curves[0]) != len(curves[1]):
        raise ArtifactError(f"the epochs in {folder} are not whole; remove {folder}, and the cell is run again")
    return Course(tuple(curves[0]), tuple(curves[1]))
