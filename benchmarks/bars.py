"""The bars of `time_to_exact.py`: how many times byheart's seconds the others are to take, and whether they do.

Seconds are of training, evaluation left out on all sides; what byheart takes with its own looks at how far it is, which
also steer it, is told beside. A side that was cut off before it was exact would have taken longer than it ran, if with
its settings it can be exact: its multiple is then a lower bound. One that came to the end of its own budget without
being exact tells of its settings and not of its speed.
"""

from __future__ import annotations

from typing import Any

OURS, SPARING = "byheart", "trl"
NUM_RECORDS = 100
"""The bars are of a hundred records."""
LEAST_TIMES = {
    SPARING: ("TRL + PEFT", 15),
    "trainer": ("Trainer + PEFT at the same placement", 5),
    "authors": ("the authors' loop", 10),
}
"""What to call a side, and the least multiple; `SPARING` may not have a lower peak memory either."""


def times(side: dict[str, Any], ours: dict[str, Any]) -> str:
    """How many times byheart's seconds a side took; for a table's cell."""
    if not ours["is_exact"]:
        return ""
    return f"{'' if side['is_exact'] else '> '}{side['seconds'] / ours['seconds']:.1f}"


def verdict(rows: list[dict[str, Any]], num_records: int) -> str:
    """Whether each bar holds, a line each in Markdown.

    Args:
        rows: of the sides that ran.
        num_records: that they learnt.
    """
    by_side = {row["side"]: row for row in rows}
    if num_records != NUM_RECORDS:
        return f"The bars are not measured: they are of {NUM_RECORDS} records, these are {num_records}."
    if (ours := by_side.get(OURS)) is None:
        return "The bars are not measured: byheart was not run."
    if not ours["is_exact"]:
        return "No bar holds: byheart did not give every record back."
    lines = [_seconds(name, least, by_side.get(side), ours) for side, (name, least) in LEAST_TIMES.items()]
    return "\n".join(f"- {line}" for line in [*lines, _memory(by_side.get(SPARING), ours)])


def _seconds(name: str, least: int, side: dict[str, Any] | None, ours: dict[str, Any]) -> str:
    bar = f"{name[0].upper()}{name[1:]} takes at least {least} times as long"
    if side is None:
        return f"{bar}: not run."
    multiple = side["seconds"] / ours["seconds"]
    told = f"{multiple:.1f} times{_with_looks(side, ours)}"
    if side["is_exact"]:
        return f"{bar}: {'holds' if multiple >= least else 'does not hold'}, {told}."
    if not side["was_cut_off"]:
        return f"{bar}: open, not exact at the end of its own budget, {told} byheart's seconds."
    holds = multiple >= least and side["can_be_exact"]
    return f"{bar}: {'holds' if holds else 'open'}, not exact yet when it was cut off after {told} byheart's seconds."


def _with_looks(side: dict[str, Any], ours: dict[str, Any]) -> str:
    seconds = ours["notes"].get("seconds_with_looks")
    return f" ({side['seconds'] / seconds:.1f} with byheart's own looks counted)" if seconds else ""


def _memory(side: dict[str, Any] | None, ours: dict[str, Any]) -> str:
    bar = f"byheart takes no more peak memory than {LEAST_TIMES[SPARING][0]}"
    if side is None:
        return f"{bar}: not run."
    holds = ours["peak_bytes"] <= side["peak_bytes"]
    megabytes = f"{ours['peak_bytes'] / 1e6:,.0f} MB beside {side['peak_bytes'] / 1e6:,.0f} MB"
    return f"{bar}: {'holds' if holds else 'does not hold'}, {megabytes}."
