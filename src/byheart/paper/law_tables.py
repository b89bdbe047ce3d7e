"""Table 1: how well the law holds for the cells of plain fine-tuning; and the fits behind it, which Figure 2 draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from byheart.errors import LawError
from byheart.law.cells import select
from byheart.law.config import FitConfig
from byheart.law.fit import LawFit, fit_law
from byheart.law.fits import LawFits, Refusal
from byheart.law.observation import Observation, from_rows
from byheart.paper.differences import from_published, sentences
from byheart.paper.findings import Finding, Findings
from byheart.paper.published import FIGURE2_R_SQUARED, LENGTH_EXPONENT, RANK_EXPONENT, TABLE1, LawGroup, PublishedFit
from byheart.paper.table import Column, Table, Value
from byheart.report.reproduction_files import GROUP
from byheart.sweep.cell import CellResult
from byheart.sweep.results import row
from byheart.sweep.texts import texts_of

_TEXTS = "long texts"
_NAMES: dict[LawGroup, str] = {"long-context": f"{_TEXTS}, all ratios", "phonebook": "PhoneBook"}

COLUMNS = (
    Column("group", "cells of"),
    Column("num_fitted", "fitted"),
    Column("num_saturated", "saturated"),
    Column("num_unconverged", "not converged"),
    Column("num_failed", "failed"),
    Column("coefficient_nats", "C", 2),
    Column("rank_exponent", "α", 2),
    Column("rank_exponent_interval", "α from, to"),
    Column("length_exponent", "β", 2),
    Column("length_exponent_interval", "β from, to"),
    Column("offset_nats", "b", 2),
    Column("r_squared", "R²", 3),
    Column("mape_percent", "MAPE %", 2),
    Column("published_r_squared", "published R²", 3),
    Column("published_mape_percent", "published MAPE %", 2),
    Column("differs_in", "differs in"),
)


@dataclass(frozen=True, slots=True)
class GroupFit:
    """The law of one group of cells.

    Attributes:
        name: of the group.
        cells: all that ran to their end; at least one.
        fit: None where they cannot be fitted.
        reason: why not; else empty.
        saturated: cells that were left out since their loss ended below ln 2.
        published: what stands beside it.
    """

    name: str
    cells: tuple[Finding, ...]
    fit: LawFit | None
    reason: str
    saturated: tuple[Observation, ...]
    published: PublishedFit | None

    @property
    def file_name(self) -> str:
        """Of its figures."""
        return self.cells[0].task


def law_groups(findings: Findings) -> dict[str, list[CellResult]]:
    """The cells of plain fine-tuning by group, failed ones too: long texts together, each random ratio by itself where
    there are several, PhoneBook.
    """
    groups: dict[str, list[CellResult]] = {}
    cells = [cell for cell in findings.results.get("law", ()) if cell.run["method"]["name"] == "sft"]
    for task, name in _NAMES.items():
        mine = [cell for cell in cells if cell.task["name"] == task]
        if mine:
            groups[name] = mine
        kinds = sorted({texts_of(cell.task) for cell in mine})
        for texts in kinds if len(kinds) > 1 else ():
            groups[f"{_TEXTS}, {texts.name}"] = [cell for cell in mine if texts_of(cell.task) == texts]
    return groups


@lru_cache(maxsize=1)  # a table and a figure are made of the same fits
def law_fits(findings: Findings) -> tuple[GroupFit, ...]:
    """The law fitted to each group; one that cannot be fitted says why."""
    fits: list[GroupFit] = []
    published = TABLE1[findings.preset.paper_model]
    by_name = {name: published[task] for task, name in _NAMES.items()}
    for name, cells in law_groups(findings).items():
        rows: list[Mapping[str, Any]] = [{**row(cell), GROUP: name} for cell in cells]
        evidence = from_rows(rows, GROUP)
        try:
            found, reason = fit_law(evidence, name), ""
        except LawError as error:
            found, reason = None, str(error)
        saturated = select(evidence.observations).saturated
        done = tuple(Finding(cell, cell.measured) for cell in cells if cell.measured is not None)
        if done:
            fits.append(GroupFit(name, done, found, reason, saturated, by_name.get(name)))
    return tuple(fits)


def law_document(fits: Sequence[GroupFit]) -> LawFits | None:
    """The same as ``law.json`` has it; None where no group could be fitted."""
    fitted = tuple(sorted((each.fit for each in fits if each.fit is not None), key=lambda fit: fit.group))
    refusals = tuple(Refusal(group=each.name, reason=each.reason) for each in fits if each.fit is None)
    if not fitted:
        return None
    return LawFits(axis="lora_rank", group_by=GROUP, config=FitConfig(), fits=fitted, combined=None, refusals=refusals)


def table1(findings: Findings, fits: Sequence[GroupFit]) -> Table:
    """A row for each group of cells."""
    rows: list[tuple[Value, ...]] = []
    notes: list[str] = []
    differing: dict[str, dict[str, str]] = {}
    for each in fits:
        apart = from_published(each.cells, findings.preset.paper_model, "law")
        beside = (None, None)
        if each.published is not None:
            beside = (each.published.r_squared.value, each.published.mape_percent.value)
            differing[each.name] = apart
        if each.fit is None:
            rows.append((each.name, *[None] * 12, *beside, ", ".join(apart)))
            notes.append(f"{each.name}: not fitted: {each.reason}")
            continue
        law, counts = each.fit.law, each.fit.counts
        rows.append(
            (
                each.name,
                counts.used,
                counts.saturated,
                counts.unconverged,
                counts.failed,
                law.coefficient,
                law.rank_exponent,
                str(each.fit.intervals["rank_exponent"]),
                law.length_exponent,
                str(each.fit.intervals["length_exponent"]),
                law.offset_nats,
                each.fit.quality.r_squared,
                100 * each.fit.quality.mape,
                *beside,
                ", ".join(apart),
            )
        )
    notes += [
        *sentences(differing),
        "ΔL = C·r^α·ℓ^-β + b in nats; cells that end below ln 2 are saturated and left out, as in the paper",
        "from, to: where 95 % of bootstrap resamples have it",
        "published R² and MAPE: source 3",
        f"predicted against true, Qwen3-8B: published R² {FIGURE2_R_SQUARED.value:g} (source {FIGURE2_R_SQUARED.mark})",
        f"published exponents: α about {RANK_EXPONENT.value:g}, β about {LENGTH_EXPONENT.value:g} "
        f"({RANK_EXPONENT.doubt}; source {RANK_EXPONENT.mark})",
    ]
    return Table("table1", "Table 1: how well the law holds", COLUMNS, tuple(rows), tuple(notes))
