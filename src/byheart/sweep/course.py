"""How a cell's run went, epoch by epoch: two curves in its tokens' file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from byheart.errors import ArtifactError
from byheart.sweep.results import CELLS, read_tokens


@dataclass(frozen=True, slots=True)
class Course:
    """A run's epochs, the first of them epoch 1, as training saw them.

    Attributes:
        nll_nats: mean loss of the answer tokens that the epoch visited, each just before the step that learnt from it.
        num_stubborn_tokens: of all records, the answer tokens at or below p = 0.5 when last seen.
    """

    nll_nats: tuple[float, ...]
    num_stubborn_tokens: tuple[int, ...]


def read_course(directory: str | Path, name: str) -> Course | None:
    """The epochs of a cell of a sweep; None where an earlier byheart ran it, which kept none.

    Args:
        directory: of the sweep.
        name: of the cell.

    Raises:
        ArtifactError: the cell has no tokens' file, or it cannot be read or is not whole.
    """
    tokens = read_tokens(directory, name)
    curves = [tokens[curve].tolist() for curve in ("epoch_nll_nats", "epoch_stubborn_tokens") if curve in tokens]
    if not curves:
        return None
    if len(curves) != 2 or len(curves[0]) != len(curves[1]):
        folder = Path(directory) / CELLS / name
        raise ArtifactError(f"the epochs in {folder} are not whole; remove {folder}, and the cell is run again")
    return Course(tuple(curves[0]), tuple(curves[1]))
