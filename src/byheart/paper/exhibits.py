"""The paper's tables and figures by name: which experiments each needs, and what is made of them.

To add one, write the function that makes it and add a row to `EXHIBITS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from byheart.errors import SettingsError, unknown
from byheart.paper.claim_table import claims
from byheart.paper.findings import Findings
from byheart.paper.law_tables import GroupFit, law_fits, table1
from byheart.paper.method_tables import table2
from byheart.paper.preset import ExperimentName
from byheart.paper.staged_tables import staged_table
from byheart.paper.table import Table
from byheart.paper.task_tables import table3, table4

if TYPE_CHECKING:
    from byheart.report.paper_figures import Figure

ALL = "all"
_LAW = "law, by plain fine-tuning (sft),"


@dataclass(frozen=True, slots=True)
class Made:
    """What came of an exhibit.

    Attributes:
        tables: to be written.
        figures: file name → figure.
        missing: why something could not be made; empty where all was.
    """

    tables: Sequence[Table] = ()
    figures: dict[str, Figure] = field(default_factory=dict)
    missing: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Exhibit:
    """A table or figure of the paper.

    Attributes:
        needs: the experiments whose cells it is made of.
        make: findings → what it is.
        has_figures: whether it needs matplotlib.
    """

    needs: tuple[ExperimentName, ...]
    make: Callable[[Findings], Made]
    has_figures: bool = False


def chosen(names: Iterable[str]) -> list[str]:
    """The exhibits asked for, in the paper's order, each once.

    Raises:
        SettingsError: there is none of that name.

    >>> chosen(["table2", "table1"])
    ['table1', 'table2']
    """
    asked = list(names)
    for name in asked:
        if name not in EXHIBITS and name != ALL:
            raise SettingsError(unknown("table or figure", name, [*EXHIBITS, ALL]))
    return [name for name in EXHIBITS if name in asked or ALL in asked]


def _table1(findings: Findings) -> Made:
    fits = law_fits(findings)
    return Made([table1(findings, fits)] if fits else [], missing=[*_unfitted(fits), *_none(fits, "table1", _LAW)])


def _figure2(findings: Findings) -> Made:
    from byheart.paper.drawings import law_figures

    fits = law_fits(findings)
    return Made([], law_figures(fits), [*_unfitted(fits), *_none(fits, "figure2", _LAW)])


def _figure3(findings: Findings) -> Made:
    from byheart.paper.drawings import dynamics_figure

    figure = dynamics_figure(findings)
    missing = [] if figure else ["figure3: no long text was learnt; the preset's experiments law or long-context"]
    return Made([claims(findings)] if findings.all_done() else [], {"figure3": figure} if figure else {}, missing)


def _figures4(findings: Findings) -> Made:
    from byheart.paper.drawings import landscape_figures

    figures = landscape_figures(findings)
    return Made([], figures, _none(figures, "figure4-6", "long-context or phonebook-equal"))


def _figures7(findings: Findings) -> Made:
    from byheart.paper.drawings import convergence_figures

    figures = convergence_figures(findings)
    return Made([], figures, _none(figures, "figure7-9", "convergence"))


def _figures10(findings: Findings) -> Made:
    from byheart.paper.drawings import grid_figures

    figures = grid_figures(findings)
    return Made([], figures, _none(figures, "figure10-13", _LAW))


def _of_cells(name: str, make: Callable[[Findings], Table]) -> Callable[[Findings], Made]:
    def made(findings: Findings) -> Made:
        table = make(findings)
        return Made([table], missing=_none(table.rows, name, " or ".join(EXHIBITS[name].needs)))

    return made


def _staged(name: str) -> Callable[[Findings], Made]:
    return lambda findings: Made([staged_table(name, findings.preset)])


def _none(made: Iterable[object], name: str, experiment: str) -> list[str]:
    return [] if list(made) else [f"{name}: no cell of the preset's {experiment} is done"]


def _unfitted(fits: Sequence[GroupFit]) -> list[str]:
    return [f"the law: {each.reason}" for each in fits if each.fit is None]


EXHIBITS: dict[str, Exhibit] = {
    "table1": Exhibit(("law",), _table1),
    "table2": Exhibit(("long-context", "phonebook", "phonebook-equal"), _of_cells("table2", table2)),
    "table3": Exhibit(("linear-rule",), _of_cells("table3", table3)),
    "table4": Exhibit(("scenarios",), _of_cells("table4", table4)),
    "table5": Exhibit((), _staged("table5")),
    "table6": Exhibit((), _staged("table6")),
    "figure2": Exhibit(("law",), _figure2, has_figures=True),
    "figure3": Exhibit(("law", "long-context"), _figure3, has_figures=True),
    "figure4-6": Exhibit(("long-context", "phonebook-equal"), _figures4, has_figures=True),
    "figure7-9": Exhibit(("convergence",), _figures7, has_figures=True),
    "figure10-13": Exhibit(("law", "long-context"), _figures10, has_figures=True),
}
"""In the paper's order."""
