"""What to be wary of in a table before a law is fitted to it: cells that are not alike, though one law is to fit them
all, and cells whose weights are not those that training came to rest at.

Rows are plain mappings from column to value, as in `byheart.law.observation`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from byheart.law.observation import DONE, group_of

KINDS = ("model", "task", "method", "placement", "dtype", "device", "base_weights_sha256")
"""Columns of every table that tell of what kind a run was; those of a grid's own axes are dotted."""
SIZES = (
    "placement.lora_rank",
    "task.num_answer_tokens",
    "task.num_pairs",
    "task.num_records",
    "task.num_unseen",
    "task.seed",
)
"""Axes that the law speaks of, or whose values are repeats."""
TOLD_BY_KIND = ("model.", "method.name", "placement.layers", "placement.modules", "task.name")
"""Axes that a column of every table says already."""
_SHOWN = 3


def cautions(rows: Iterable[Mapping[str, Any]], group_by: str) -> list[str]:
    """Sentences for a person; none where there is nothing to be wary of.

    Args:
        rows: of a results table.
        group_by: the columns whose values make a group, with commas.
    """
    done = [row for row in rows if row.get("status") == DONE]
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in done:
        groups.setdefault(group_of(row, group_by), []).append(row)
    told = [sentence for group, cells in groups.items() for sentence in _mixed(group, cells, group_by)]
    earlier = [row for row in done if row.get("weights_epoch") != row.get("epochs")]
    if earlier:
        told.append(
            f"{len(earlier)} of {len(done)} cells have the weights of an earlier epoch than their last: the law is of "
            "adapters at rest; sweep with learn.keep: last"
        )
    return told


def _mixed(group: str, cells: Sequence[Mapping[str, Any]], group_by: str) -> Iterable[str]:
    known = (*SIZES, *TOLD_BY_KIND)
    columns = [name for name in cells[0] if name in KINDS or ("." in name and not name.startswith(known))]
    values = {name: sorted({str(row.get(name)) for row in cells}) for name in columns}
    several = {name: found for name, found in values.items() if len(found) > 1}
    if several:
        told = ", ".join(f"{name} ({_listed(found)})" for name, found in several.items())
        by = ",".join([group_by, *several])
        yield f"the cells of {group} differ in {told}, and one law is fitted to them all; a law for each: --by {by}"


def _listed(values: Sequence[str]) -> str:
    shown = ", ".join(values[:_SHOWN])
    return shown if len(values) <= _SHOWN else f"{shown}, and {len(values) - _SHOWN} more"
