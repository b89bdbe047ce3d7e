"""The tokens' file of a cell → its records, token by token, as `byheart.certification.dynamics` counts them.

p is the certificate's own, and no number made of a loss: whether a token lies above one half is decided by what was
measured, also where −ln p rounds to ln 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from byheart.certification.dynamics import RecordDynamics
from byheart.errors import ArtifactError
from byheart.sweep.results import CELLS, NONE, UNSEEN, read_tokens

if TYPE_CHECKING:
    import numpy as np


def read_dynamics(directory: str | Path, name: str) -> list[RecordDynamics]:
    """The records of a cell of a sweep.

    Args:
        directory: of the sweep.
        name: of the cell.

    Raises:
        ArtifactError: the cell has no tokens, they cannot be read, or are not whole.
    """
    return whole_dynamics(read_tokens(directory, name), Path(directory) / CELLS / name)


def read_unseen(directory: str | Path, name: str) -> list[RecordDynamics]:
    """The records that a cell of a sweep was asked for and had not learnt; its task must have such.

    Raises:
        ArtifactError: as `read_dynamics`.
    """
    tokens = {
        of_name.removeprefix(f"{UNSEEN}_"): values
        for of_name, values in read_tokens(directory, name).items()
        if of_name.startswith(UNSEEN)
    }
    return whole_dynamics(tokens, Path(directory) / CELLS / name)


def whole_dynamics(tokens: Mapping[str, np.ndarray], folder: Path) -> list[RecordDynamics]:
    """`record_dynamics` of tokens that are from a cell's folder.

    Raises:
        ArtifactError: they are not whole.
    """
    try:
        return record_dynamics(tokens)
    except (KeyError, ValueError) as error:
        raise ArtifactError(
            f"the tokens in {folder} are not whole, or of an older byheart ({error}); remove {folder}, and the cell is "
            "run again"
        ) from error


def record_dynamics(tokens: Mapping[str, np.ndarray]) -> list[RecordDynamics]:
    """The records of a cell, in order.

    Args:
        tokens: by the names that `byheart.sweep.measure.measured` gives them.

    Raises:
        KeyError: something that every tokens' file has is not there.
        ValueError: the lengths of its parts do not agree.
    """
    p_A, token_rank_A = tokens["p"].tolist(), tokens["token_rank"].tolist()
    ends = list(accumulate(tokens["num_tokens"].tolist(), initial=0))
    if not ends[-1] == len(p_A) == len(token_rank_A):
        raise ValueError(f"{ends[-1]} tokens by record, {len(p_A)} probabilities, {len(token_rank_A)} ranks")
    return [
        RecordDynamics(
            p=tuple(p_A[start:stop]),
            token_rank=tuple(token_rank_A[start:stop]),
            first_failure_position=None if failure == NONE else failure,
        )
        for (start, stop), failure in zip(pairwise(ends), tokens["first_failure"].tolist(), strict=True)
    ]
