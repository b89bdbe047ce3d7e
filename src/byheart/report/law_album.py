"""All figures of a fitted sweep, written to one directory: two over all of them, three of each group."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from byheart.law.cells import select
from byheart.law.fits import LawFits
from byheart.law.observation import DONE, Evidence, group_of
from byheart.report.figures import need_matplotlib, save
from byheart.report.law_figures import (
    GridValue,
    Quantity,
    drop_over_grid,
    heat_map,
    predicted_against_measured,
    residuals,
)

NUM_OVER_ALL, NUM_EACH = 2, 3
_COLUMNS: dict[Quantity, str] = {"final loss": "nll_after_nats", "token accuracy": "token_accuracy"}


def num_figures(fits: LawFits) -> int:
    """How many `save_figures` draws."""
    return NUM_OVER_ALL + NUM_EACH * len(fits.fits)


def save_figures(
    fits: LawFits,
    evidence: Evidence,
    rows: Iterable[Mapping[str, Any]],
    directory: Path,
    advance: Callable[[int], None] = lambda _: None,
) -> tuple[Path, ...]:
    """Draws and writes every figure, as SVG and PNG.

    Args:
        fits: what was fitted.
        evidence: to what.
        rows: the results table, for what the law does not know of: token accuracy.
        directory: where the files go; those there are replaced.
        advance: told of each figure.

    Returns:
        The files.

    Raises:
        SettingsError: matplotlib is not installed.
        ArtifactError: a file cannot be written.
    """
    need_matplotlib()
    done = [row for row in rows if row["status"] == DONE]
    files: list[Path] = []

    def write(name: str, figure: Any) -> None:
        files.extend(save(figure, directory / name))
        advance(1)

    write("predicted-against-measured", predicted_against_measured(fits.all_fits))
    write("residuals", residuals(fits.all_fits, fits.axis))
    for fit, name in zip(fits.fits, file_names(fit.group for fit in fits.fits), strict=True):
        saturated = select(evidence.of(fit.group).observations).saturated
        write(f"{name}-law", drop_over_grid(fit, saturated))
        cells = [row for row in done if group_of(row, fits.group_by) == fit.group]
        for quantity, column in _COLUMNS.items():
            values = [GridValue(row[fits.axis], row["num_answer_tokens"], row[column]) for row in cells]
            write(f"{name}-{quantity.replace(' ', '-')}", heat_map(values, quantity, fits.axis))
    return tuple(files)


def file_names(groups: Iterable[str]) -> list[str]:
    """A plain file name for each group, no two alike.

    >>> file_names(["PhoneBook, 0.2", "phonebook 0.2", "../.."])
    ['phonebook-0.2', 'phonebook-0.2-2', 'group']
    """
    names: list[str] = []
    for group in groups:
        plain = re.sub(r"[^a-z0-9.]+", "-", group.lower()).strip("-.") or "group"
        name, number = plain, 2
        while name in names:
            name, number = f"{plain}-{number}", number + 1
        names.append(name)
    return names
