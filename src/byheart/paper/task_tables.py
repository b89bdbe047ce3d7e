"""Table 3: the linear rule, known pairs and unseen ones. Table 4: the eight scenarios, text by text."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence

from byheart.certification.dynamics import RecordDynamics
from byheart.paper.comparison import COMPARED, SEEDS_NOTE, compared, percent
from byheart.paper.differences import from_published, sentences
from byheart.paper.findings import Finding, Findings
from byheart.paper.published import (
    ALL_FORMS,
    TABLE3_GENERALISATION,
    TABLE3_MEMORY,
    TABLE4_SCENARIOS,
    Form,
    Published,
)
from byheart.paper.table import Column, Table, Value
from byheart.tasks.scenarios import SCENARIOS

COLUMNS3 = (
    Column("quantity", "exact match, %"),
    Column("method", "method"),
    Column("lora_rank", "rank"),
    Column("num_pairs", "pairs"),
    *COMPARED,
)
COLUMNS4 = (
    Column("scenario", "domain in the paper"),
    Column("method", "method"),
    Column("lora_rank", "rank"),
    Column("num_answer_tokens", "answer tokens"),
    Column("recalled_share", "recalled", 2),
    Column("min_probability", "least p", 3),
    Column("num_stubborn", "stubborn tokens"),
    Column("first_failure_position", "first failure"),
    Column("num_seeds", "seeds"),
)


def table3(findings: Findings) -> Table:
    """A row for each method and rank: of pairs that were learnt, then of pairs that were not."""
    cells = findings.done("linear-rule")
    num_unseen = sorted({cell.result.task["num_unseen"] for cell in cells})
    parts: tuple[tuple[str, Mapping[Form, Mapping[int, Published]], Callable[[Finding], float]], ...] = (
        ("memory", TABLE3_MEMORY, lambda cell: cell.measured.exact_match),
        ("generalisation", TABLE3_GENERALISATION, _generalised),
    )
    rows: list[tuple[Value, ...]] = []
    differing: dict[str, dict[str, str]] = {}
    doubts: dict[str, None] = {}
    for quantity, published, share_of in parts:
        for form in ALL_FORMS:
            mine = [cell for cell in cells if cell.form == form]
            apart = from_published(mine, "qwen3-8b", "linear-rule")
            apart.pop("data", None)  # nobody knows the authors' pairs; ours are told below
            if mine:
                differing[form] = apart
            for rank in sorted({cell.lora_rank for cell in mine}):
                chosen = [cell for cell in mine if cell.lora_rank == rank]
                task = chosen[0].result.task
                num_pairs = task["num_pairs"] if quantity == "memory" else task["num_unseen"]
                beside = compared(percent(chosen, share_of), published.get(form, {}).get(rank), apart)
                rows.append((quantity, form, rank, num_pairs, *beside))
        doubts |= {f"published: {each.doubt}": None for row in published.values() for each in row.values()}
    told = ", ".join(f"{number:,}" for number in num_unseen)
    notes = (
        *sentences(differing),
        "published: Qwen3-8B, 500 training pairs",
        *doubts,
        f"ours: prompts such as f(12, 7) =, x and y from 0 to 99, {told} unseen pairs",
        SEEDS_NOTE,
    )
    return Table("table3", "Table 3: f(x, y) = 3x + 5y + 7", COLUMNS3, tuple(rows), notes)


def _generalised(cell: Finding) -> float:
    share = cell.measured.unseen_exact_match
    assert share is not None, "the task has unseen records, and every cell of it asks for them"
    return share


def table4(findings: Findings) -> Table:
    """A row for each text, method and rank."""
    cells = findings.done("scenarios")
    records = {cell.name: findings.dynamics(cell) for cell in cells}
    rows: list[tuple[Value, ...]] = []
    for place, scenario in enumerate(SCENARIOS):
        for form in ALL_FORMS:
            for rank in sorted({cell.lora_rank for cell in cells}):
                chosen = [cell for cell in cells if cell.form == form and cell.lora_rank == rank]
                if chosen:
                    found = [records[cell.name][place] for cell in chosen]
                    num_seeds = len({cell.seed for cell in chosen})
                    rows.append((TABLE4_SCENARIOS[scenario.id], form, rank, *_scenario(found), num_seeds))
    notes = (
        "the paper's own texts and numbers for these domains are not known: the domains are its, the texts byheart's",
        "recalled: share of seeds after which the free run gives the text back to the letter",
        "least p, stubborn tokens (p at or below 0.5) and first failure: the worst of the seeds",
    )
    return Table("table4", "Table 4: texts in which a near miss is worth nothing", COLUMNS4, tuple(rows), notes)


def _scenario(found: Sequence[RecordDynamics]) -> tuple[Value, ...]:
    """What came of one text under each seed's adapter."""
    failures = [each.first_failure_position for each in found if each.first_failure_position is not None]
    return (
        len(found[0].p),
        statistics.fmean(each.first_failure_position is None for each in found),
        min(min(each.p) for each in found),
        max(len(each.stubborn_positions) for each in found),
        min(failures, default=None),
    )
