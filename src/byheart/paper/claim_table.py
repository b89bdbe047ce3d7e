"""The numbers beside Figure 3: the claim of p > 0.5, and Spearman's ρ, over every answer token that was measured."""

from __future__ import annotations

from byheart.certification.dynamics import Dynamics
from byheart.paper.findings import Findings
from byheart.paper.published import SPEARMAN
from byheart.paper.table import Column, Table, Value

COLUMNS = (
    Column("task", "task"),
    Column("num_positions", "answer tokens"),
    Column("num_above", "p > 0.5"),
    Column("num_counterexamples", "of these not the argmax"),
    Column("num_argmax_below", "argmax with p ≤ 0.5"),
    Column("num_early_failures", "failures before a stubborn token"),
    Column("num_pairs", "records with both"),
    Column("spearman", "Spearman ρ", 3),
    Column("published_spearman", "published ρ", 3),
)
_PUBLISHED_OF = "long-context"


def claims(findings: Findings) -> Table:
    """A row for each task, records that were not learnt apart; the last is of all together."""
    groups = findings.every_dynamics()
    groups["all"] = [each for found in groups.values() for each in found]
    notes = (
        "p > 0.5 is sufficient for the argmax: the fourth column must be 0; it is not necessary: the fifth says how "
        "often",
        "Spearman ρ: earliest stubborn position against the free run's first failure i*, over records that have both",
        f"published ρ: source {SPEARMAN.mark}",
    )
    rows = tuple(_row(name, Dynamics(tuple(found))) for name, found in groups.items())
    return Table("figure3", "Figure 3: token dynamics in numbers", COLUMNS, rows, notes)


def _row(name: str, found: Dynamics) -> tuple[Value, ...]:
    claim, bound = found.claim, found.bound
    return (
        name,
        found.num_tokens,
        claim.num_above,
        claim.num_above_not_argmax,
        claim.num_stubborn_argmax,
        bound.num_records - bound.num_kept + bound.num_unforeseen,
        bound.num_records,
        bound.spearman_rho,
        SPEARMAN.value if name == _PUBLISHED_OF else None,
    )
