"""Which of the paper's claims hold for the cells that were run, by what they are judged, and how sure that is.

A claim holds, or does not, where an interval says so, or where it is one of every token; else it is open. That two
numbers agree is judged by a nearness named beforehand, in which the whole interval has to lie: to contain the published
number is no merit of an interval that is wide. Methods are compared between cells of one rank, size, ratio and seed,
within a seed before seeds are compared.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence

from byheart.certification.dynamics import Dynamics, spearman
from byheart.paper.findings import Findings
from byheart.paper.law_tables import GroupFit
from byheart.paper.method_tables import PARTS, published_table
from byheart.paper.method_verdicts import generalisation, methods
from byheart.paper.preset import ExperimentName
from byheart.paper.published import (
    LENGTH_EXPONENT,
    RANK_EXPONENT,
    SPEARMAN,
    TABLE3_GENERALISATION,
    Form,
    Published,
)
from byheart.paper.table import Column, Table
from byheart.paper.verdict import OPEN, Row, all_or, by
from byheart.report.reproduction_files import THRESHOLD_CLAIM

COLUMNS = (
    Column("claim", "claim"),
    Column("verdict", "verdict"),
    Column("ours", "ours", 3),
    Column("low", "from", 3),
    Column("high", "to", 3),
    Column("published", "published", 3),
    Column("over", "over"),
    Column("holds_if", "holds if"),
)
_LEAST_R_SQUARED, _FEWEST_CELLS = 0.98, 10
"""Of a law; through fewer cells four constants pass too easily."""
_LAW_RULE = f"R² of {_LEAST_R_SQUARED} or more over at least {_FEWEST_CELLS} cells"
_NEAR_EXPONENT = 0.25
"""A share of the published exponent."""
_NEAR_RHO, _FEWEST_FAILURES = 0.05, 10
"""Of ρ; of fewer records in any order resamples say nothing."""
_NUM_RESAMPLES, _CONFIDENCE = 500, 0.95
_NOTES = (
    "from, to: 95 % interval: of exponents over bootstrap resamples of cells, of ρ over resamples of failed records, "
    "of methods over seeds (Student's t), of generalisation over unseen pairs under the adapters that there are",
    "open: part of the interval speaks for the claim and part against it; there is no interval, as there is one seed "
    "or all agree; or there are too few cells or records to tell",
    "points: percentage points, the mean over cells with rank, size, ratio and seed in common; published: the mean "
    "over ranks that ours has too, at the published budgets",
)
_PUBLISHED_EXPONENTS = {"rank_exponent": RANK_EXPONENT, "length_exponent": LENGTH_EXPONENT}


def verdicts(findings: Findings, fits: Sequence[GroupFit]) -> Table | None:
    """A row for each claim that some cell speaks of; None where none does."""
    rows = (*_law(fits), *_tokens(findings), *methods(findings), *generalisation(findings))
    notes = (*_NOTES, *_doubts(findings))
    return Table("findings", "Which of the paper's claims hold", COLUMNS, rows, notes) if rows else None


def _doubts(findings: Findings) -> Iterator[str]:
    """What the sources leave open of the published numbers that stand in some row."""
    model = findings.preset.paper_model
    tables: list[tuple[str, Mapping[Form, Mapping[int, Published]], ExperimentName]] = [
        *((part, published_table(model, experiment), experiment) for part, experiment, _ in PARTS),
        ("generalisation", TABLE3_GENERALISATION, "linear-rule"),
    ]
    if findings.done("law"):
        yield f"published exponents: {RANK_EXPONENT.doubt}"
    for part, table, experiment in tables:
        doubts = dict.fromkeys(each.doubt for row in table.values() for each in row.values() if each.doubt)
        if doubts and findings.done(experiment):
            yield f"published, {part}: {'; '.join(doubts)}"


def _law(fits: Sequence[GroupFit]) -> Iterator[Row]:
    for each in fits:
        if each.published is None or each.fit is None:
            continue
        r_squared, over = each.fit.quality.r_squared, f"{each.fit.counts.used:,} cells"
        is_enough = each.fit.counts.used >= _FEWEST_CELLS
        verdict = all_or(r_squared >= _LEAST_R_SQUARED) if is_enough else OPEN
        beside = each.published.r_squared.value
        yield f"the law fits {each.name}", verdict, r_squared, None, None, beside, over, _LAW_RULE
        if each.file_name != "long-context":  # the published exponents are of such texts
            continue
        for name, published in _PUBLISHED_EXPONENTS.items():
            interval, ours = each.fit.intervals[name], getattr(each.fit.law, name)
            nearest, farthest = ((1 + sign * _NEAR_EXPONENT) * published.value for sign in (-1, 1))
            is_near = nearest <= interval.low and interval.high <= farthest
            is_far = interval.high < nearest or farthest < interval.low
            claim = f"{name.replace('_', ' ')}, {each.name}"
            rule = f"from and to are within {_NEAR_EXPONENT:.0%} of the published one"
            yield claim, by(is_near, is_far), ours, interval.low, interval.high, published.value, over, rule


def _tokens(findings: Findings) -> Iterator[Row]:
    by_task = findings.every_dynamics()
    if not by_task:
        return
    every = Dynamics(tuple(record for records in by_task.values() for record in records))
    num_above, num_against = every.claim.num_above, every.claim.num_above_not_argmax
    over = f"{num_above:,} tokens above 0.5"
    verdict = all_or(num_against == 0) if num_above else OPEN
    yield THRESHOLD_CLAIM, verdict, num_against, None, None, None, over, "none above 0.5 is not"
    yield from _bound(every)
    long = Dynamics(tuple(by_task.get("long-context", ())))
    if (rho := long.bound.spearman_rho) is not None:
        is_enough = len(long.pairs) >= _FEWEST_FAILURES
        low, high = _rho_interval(long.pairs) if is_enough else (None, None)
        least = SPEARMAN.value - _NEAR_RHO
        verdict = OPEN if low is None or high is None else by(low >= least, high < least)
        claim = "Spearman's ρ of earliest stubborn token and first failure"
        over = f"{len(long.pairs):,} long texts that fail"
        rule = f"no more than {_NEAR_RHO} below the published one, over at least {_FEWEST_FAILURES} texts"
        yield claim, verdict, rho, low, high, SPEARMAN.value, over, rule


def _bound(every: Dynamics) -> Iterator[Row]:
    """Whether recall lasts at least up to the earliest stubborn token; a record whose first token is stubborn says
    nothing of that.
    """
    bound = every.bound
    num_failed = bound.num_records + bound.num_unforeseen
    num_telling = bound.num_unforeseen + sum(earliest > 0 for earliest, _ in every.pairs)
    if num_failed:
        num_early = num_failed - bound.num_kept
        over = f"{num_failed:,} records that fail, {num_telling:,} of them not stubborn from the first token on"
        claim = "no free run fails before the earliest stubborn token"
        yield claim, all_or(num_early == 0) if num_telling else OPEN, num_early, None, None, None, over, "none does"


def _rho_interval(pairs: Sequence[tuple[int, int]]) -> tuple[float | None, float | None]:
    draws = random.Random(42)
    resamples = ([pairs[int(draws.random() * len(pairs))] for _ in pairs] for _ in range(_NUM_RESAMPLES))
    found = sorted(rho for each in resamples if (rho := spearman(*zip(*each, strict=True))) is not None)
    if len(found) < _NUM_RESAMPLES / 2:  # most resamples agree in all of one position
        return None, None
    tail = (1 - _CONFIDENCE) / 2
    return found[math.floor(tail * len(found))], found[math.ceil((1 - tail) * len(found)) - 1]
