"""What the law is fitted to: one observation a cell of a sweep, from the rows of its results table.

Knows no table format: rows are plain mappings from column to value, so that the law stays a leaf of the house.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from byheart.errors import LawError, SettingsError, unknown

DONE, FAILED = "done", "failed"


def bits_lacking(num_answer_tokens: float, nll_before_nats: float) -> float:
    """Bits that a base model lacks for a memory's answers: ℓ·L_before / ln 2.

    >>> bits_lacking(10, math.log(2))
    10.0
    """
    return num_answer_tokens * nll_before_nats / math.log(2)


@dataclass(frozen=True, slots=True)
class Observation:
    """One cell that ran to its end.

    Attributes:
        group: what the cell belongs to: the values of the fields it is grouped by.
        lora_rank: of the adapter.
        num_parameters: of the adapter.
        num_answer_tokens: ℓ, of all records together.
        nll_before_nats: mean loss of the answer tokens under the base model alone.
        nll_after_nats: the same with the adapter.
        num_certified: records whose every token ended above p = 0.5.
        num_records: all records.
        has_converged: whether more training would not have lowered the loss.
        name: the cell's fingerprint.

    Raises:
        LawError: a count that is not positive, or a loss that is no number.
    """

    group: str
    lora_rank: int
    num_parameters: int
    num_answer_tokens: int
    nll_before_nats: float
    nll_after_nats: float
    num_certified: int
    num_records: int
    has_converged: bool
    name: str

    def __post_init__(self) -> None:
        """Refuses what no cell can have measured."""
        for field in ("lora_rank", "num_parameters", "num_answer_tokens", "num_records"):
            if getattr(self, field) < 1:
                raise LawError(f"cell {self.name}: {field} is {getattr(self, field)}, expected 1 or more")
        for field in ("nll_before_nats", "nll_after_nats"):
            if not (math.isfinite(value := getattr(self, field)) and value >= 0):
                raise LawError(f"cell {self.name}: {field} is {value}, expected a finite number from 0 up")

    @property
    def nll_drop_nats(self) -> float:
        """ΔL: what the adapter took off the mean loss."""
        return self.nll_before_nats - self.nll_after_nats

    @property
    def bits(self) -> float:
        """There were to learn."""
        return bits_lacking(self.num_answer_tokens, self.nll_before_nats)

    @property
    def is_whole(self) -> bool:
        """Whether every record ended certified."""
        return self.num_certified == self.num_records

    @property
    def load(self) -> float:
        """Bits to learn for each parameter."""
        return self.bits / self.num_parameters


@dataclass(frozen=True, slots=True)
class FailedCell:
    """One cell that did not run to its end."""

    group: str
    name: str
    error: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """All cells of a sweep: those that ran, and those that failed."""

    observations: tuple[Observation, ...]
    failed: tuple[FailedCell, ...] = ()

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups there are cells of, in alphabetical order."""
        return tuple(sorted({cell.group for cell in (*self.observations, *self.failed)}))

    def of(self, group: str) -> Evidence:
        """The cells of one group."""
        return Evidence(
            tuple(cell for cell in self.observations if cell.group == group),
            tuple(cell for cell in self.failed if cell.group == group),
        )


def from_rows(rows: Iterable[Mapping[str, Any]], group_by: str = "task") -> Evidence:
    """The rows of a results table as evidence.

    Args:
        rows: one mapping a cell, with the columns of ``results.parquet``.
        group_by: the column whose value names a cell's group; several with commas.

    Raises:
        LawError: no rows, a column that the law needs is missing, or a cell that is done lacks a value.
        SettingsError: no such column to group by; names those there are.

    Example:
        >>> row = {"cell": "c1", "status": "failed", "error": "out of memory", "task": "random"}
        >>> from_rows([row]).failed
        (FailedCell(group='random', name='c1', error='out of memory'),)
    """
    observations: list[Observation] = []
    failed: list[FailedCell] = []
    for row in rows:
        group = group_of(row, group_by)
        name = str(_value(row, "cell"))
        status = _value(row, "status")
        if status == FAILED:
            failed.append(FailedCell(group, name, str(row.get("error") or "unknown error")))
        elif status == DONE:
            observations.append(_observation(row, group, name))
        else:
            raise LawError(f"cell {name}: {unknown('status', str(status), (DONE, FAILED))}")
    if not observations and not failed:
        raise LawError("the results table has no rows; run the sweep first")
    return Evidence(tuple(observations), tuple(failed))


def group_of(row: Mapping[str, Any], group_by: str) -> str:
    """The group of a row: its values in the columns to group by.

    Raises:
        SettingsError: no such column; names those there are.

    Example:
        >>> group_of({"task": "long-context", "task.random_ratio": 0.2}, "task,task.random_ratio")
        'long-context, 0.2'
    """
    fields = [field.strip() for field in group_by.split(",")]
    for field in fields:
        if field not in row:
            raise SettingsError(unknown("column to group by", field, row))
    return ", ".join(str(row[field]) for field in fields)


def _observation(row: Mapping[str, Any], group: str, name: str) -> Observation:
    return Observation(
        group=group,
        lora_rank=int(_value(row, "lora_rank")),
        num_parameters=int(_value(row, "num_parameters")),
        num_answer_tokens=int(_value(row, "num_answer_tokens")),
        nll_before_nats=float(_value(row, "nll_before_nats")),
        nll_after_nats=float(_value(row, "nll_after_nats")),
        num_certified=int(_value(row, "num_certified")),
        num_records=int(_value(row, "num_records")),
        has_converged=bool(_value(row, "has_converged")),
        name=name,
    )


def _value(row: Mapping[str, Any], column: str) -> Any:
    if column not in row:
        raise LawError(
            f"the results table has no column {column!r}; it has: {', '.join(row)}; write it anew by a sweep"
        )
    if row[column] is None:
        raise LawError(f"cell {row.get('cell')}: {column} is empty although the cell is done; run the sweep again")
    return row[column]
