"""Which of the paper's claims hold for the cells that were run, by what they are judged, and how sure that is.

A claim holds, or does not, where an interval says so, or where it is one of every token; else it is open. That two
numbers agree is judged by a nearness named beforehand, in which the whole interval has to lie: to contain the published
number is no merit of an interval that is wide. Methods are compared between cells of one rank, size, ratio and seed,
within a seed before seeds are compared.
"""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence

from byheart.certification.dynamics import Dynamics, RecordDynamics, spearman
from byheart.paper.comparison import mean_of
from byheart.paper.findings import Finding, Findings
from byheart.paper.law_tables import GroupFit
from byheart.paper.method_tables import PARTS, SHARES, published_table
from byheart.paper.published import (
    ALL_FORMS,
    FORMS,
    LENGTH_EXPONENT,
    RANK_EXPONENT,
    SPEARMAN,
    TABLE3_GENERALISATION,
    Form,
    Published,
)
from byheart.paper.seeds import Mean, over_seeds
from byheart.paper.table import Column, Table, Value
from byheart.sweep.cell import CellResult
from byheart.sweep.texts import Texts

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
HOLDS, FAILS, OPEN = "holds", "does not hold", "open"
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
Row = tuple[Value, ...]
_Key = tuple[int, tuple[int, int, Texts]]
"""Seed, and place: rank, size and texts."""
_Both = tuple[list[Finding], list[Finding]]
"""Cells of plain fine-tuning, and those of a form of MemFT, that have a key in common."""
_PUBLISHED_EXPONENTS = {"rank_exponent": RANK_EXPONENT, "length_exponent": LENGTH_EXPONENT}


def verdicts(findings: Findings, fits: Sequence[GroupFit]) -> Table | None:
    """A row for each claim that some cell speaks of; None where none does."""
    rows = (*_law(fits), *_tokens(findings), *_methods(findings), *_generalisation(findings))
    return Table("findings", "Which of the paper's claims hold", COLUMNS, rows, _NOTES) if rows else None


def _law(fits: Sequence[GroupFit]) -> Iterator[Row]:
    for each in fits:
        if each.published is None or each.fit is None:
            continue
        r_squared, over = each.fit.quality.r_squared, f"{each.fit.counts.used:,} cells"
        is_enough = each.fit.counts.used >= _FEWEST_CELLS
        verdict = _all_or(r_squared >= _LEAST_R_SQUARED) if is_enough else OPEN
        beside = each.published.r_squared.value
        yield (
            f"the law fits {each.name}",
            verdict,
            r_squared,
            None,
            None,
            beside,
            over,
            f"R² of 0.98 or more over at least {_FEWEST_CELLS} cells",
        )
        for name, published in _PUBLISHED_EXPONENTS.items():
            interval, ours = each.fit.intervals[name], getattr(each.fit.law, name)
            nearest, farthest = ((1 + sign * _NEAR_EXPONENT) * published.value for sign in (-1, 1))
            is_near = nearest <= interval.low and interval.high <= farthest
            is_far = interval.high < nearest or farthest < interval.low
            claim = f"{name.replace('_', ' ')}, {each.name}"
            rule = f"from and to are within {_NEAR_EXPONENT:.0%} of the published one"
            yield claim, _by(is_near, is_far), ours, interval.low, interval.high, published.value, over, rule


def _tokens(findings: Findings) -> Iterator[Row]:
    by_task = findings.every_dynamics()
    if not by_task:
        return
    every = Dynamics(tuple(record for records in by_task.values() for record in records))
    num_above, num_against = every.claim.num_above, every.claim.num_above_not_argmax
    over = f"{num_above:,} tokens above 0.5"
    verdict = _all_or(num_against == 0) if num_above else OPEN
    yield "p > 0.5 makes a token the argmax", verdict, num_against, None, None, None, over, "none above 0.5 is not"
    yield from _bound(every)
    long = Dynamics(tuple(by_task.get("long-context", ())))
    if (rho := long.bound.spearman_rho) is not None:
        is_enough = len(long.pairs) >= _FEWEST_FAILURES
        low, high = _rho_interval(long.pairs) if is_enough else (None, None)
        least = SPEARMAN.value - _NEAR_RHO
        verdict = OPEN if low is None or high is None else _by(low >= least, high < least)
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
        yield claim, _all_or(num_early == 0) if num_telling else OPEN, num_early, None, None, None, over, "none does"


def _all_or(is_so: bool) -> str:
    return HOLDS if is_so else FAILS


def _by(is_so: bool, is_not: bool) -> str:
    return HOLDS if is_so else FAILS if is_not else OPEN


def _rho_interval(pairs: Sequence[tuple[int, int]]) -> tuple[float, float]:
    draws = random.Random(42)
    resamples = ([pairs[int(draws.random() * len(pairs))] for _ in pairs] for _ in range(_NUM_RESAMPLES))
    found = sorted(rho for each in resamples if (rho := spearman(*zip(*each, strict=True))) is not None)
    tail = (1 - _CONFIDENCE) / 2
    return found[math.floor(tail * len(found))], found[math.ceil((1 - tail) * len(found)) - 1]


def _methods(findings: Findings) -> Iterator[Row]:
    for part, experiment, quantity in PARTS:
        cells = findings.done(experiment)
        published = published_table(findings.preset.paper_model, experiment)
        for form in ALL_FORMS[1:]:
            pairs = _pairs(cells, form)
            if pairs:
                share = SHARES[quantity]
                gains = [
                    (seed, place, 100 * (_mean(other, share) - _mean(plain, share)))
                    for (seed, place), (plain, other) in pairs.items()
                ]
                ours = mean_of(gains, -100, 100)
                ranks = {lora_rank for _, (lora_rank, *_) in pairs}
                beside = _published_gain(published, form, ranks)
                claim = f"{form} knows more than SFT: {part}, {quantity}"
                over = f"{_counted(len(pairs), 'cell')} of each, {_counted(ours.num_seeds, 'seed')}"
                yield claim, _is_above_zero(ours), ours.value, ours.low, ours.high, beside, over, "more than 0 points"
        if quantity == "exact match" and cells:
            failed = [each for each in findings.results.get(experiment, ()) if each.measured is None]
            yield _first_whole(part, cells, failed, published)


def _pairs(cells: Sequence[Finding], form: Form) -> dict[_Key, _Both]:
    """Cells of plain fine-tuning and of a form that have rank, size, ratio and seed in common; several of each where a
    preset varies more.
    """
    found: dict[_Key, _Both] = {}
    for cell in cells:
        if cell.form in ("SFT", form):
            found.setdefault((cell.seed, cell.place), ([], []))[cell.form == form].append(cell)
    return {key: both for key, both in found.items() if all(both)}


def _mean(cells: Sequence[Finding], share: Callable[[Finding], float]) -> float:
    return statistics.fmean(share(cell) for cell in cells)


def _published_gain(table: Mapping[Form, Mapping[int, Published]], form: Form, ranks: set[int]) -> float | None:
    shared = [rank for rank in table["SFT"] if rank in ranks and rank in table[form]]
    gains = [table[form][rank].value - table["SFT"][rank].value for rank in shared]
    return statistics.fmean(gains) if gains else None


def _is_above_zero(ours: Mean) -> str:
    if ours.low is None or ours.high is None:
        return OPEN
    return _by(ours.low > 0, ours.high <= 0)


def _first_whole(
    part: str, cells: Sequence[Finding], failed: Sequence[CellResult], published: Mapping[Form, Mapping[int, Published]]
) -> Row:
    """At which rank first every record comes back, in every seed and at every size, and what SFT recalls there.

    From and to are of SFT's exact match at the first rank at which a form of MemFT is whole; where none is, at SFT's
    largest. A rank at which a cell failed is not whole, for nobody knows what that would have recalled.
    """
    ranks: dict[Form, dict[int, list[float]]] = {}
    for cell in cells:
        ranks.setdefault(cell.form, {}).setdefault(cell.lora_rank, []).append(cell.measured.exact_match)
    for result in failed:
        form: Form = FORMS[result.run["method"]["name"]]
        ranks.setdefault(form, {}).setdefault(result.run["placement"]["lora_rank"], []).append(0.0)
    first: dict[Form, float] = {
        form: min((rank for rank, shares in ranks[form].items() if min(shares) == 1), default=math.inf)
        for form in ALL_FORMS
        if form in ranks
    }
    theirs: dict[Form, float] = {
        form: min((rank for rank, each in row.items() if each.value == 100), default=math.inf)
        for form, row in published.items()
    }
    plain = [cell for cell in cells if cell.form == "SFT"]
    best = min((rank for form, rank in first.items() if form != "SFT"), default=math.inf)
    at = best if any(cell.lora_rank == best for cell in plain) else max((cell.lora_rank for cell in plain), default=0)
    there = [(cell.seed, cell.place, 100 * cell.measured.exact_match) for cell in plain if cell.lora_rank == at]
    rule, low, high, verdict = "a form does so at a rank where SFT does not", None, None, OPEN
    if there and len(first) > 1:
        sft = mean_of(there, 0, 100)
        low, high = sft.low, sft.high
        has_seeds = len({cell.seed for cell in cells}) > 1
        does = at == best < first["SFT"] and high is not None and high < 100
        verdict = _by(does, has_seeds and first["SFT"] <= best and first["SFT"] < math.inf)
        rule += f"; from, to: SFT's exact match at rank {at}, %"
    over = f"{_counted(len(cells), 'cell')}, {_counted(len({cell.seed for cell in cells}), 'seed')}"
    return f"every record comes back: {part}", verdict, _told(first), low, high, _told(theirs), over, rule


def _told(ranks: Mapping[Form, float]) -> str:
    return ", ".join(
        f"{form} {'never' if math.isinf(rank) else f'first at rank {rank:,}'}" for form, rank in ranks.items()
    )


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _generalisation(findings: Findings) -> Iterator[Row]:
    pairs = _pairs(findings.done("linear-rule"), "MemFT-OT")
    if not pairs:
        return
    gains: dict[int, list[float]] = {}
    for [plain, *_], [other, *_] in pairs.values():
        both = zip(findings.unseen(plain), findings.unseen(other), strict=False)  # of fewer pairs, the same first ones
        for place, (theirs, mine) in enumerate(both):
            gains.setdefault(place, []).append(100 * (_is_recalled(mine) - _is_recalled(theirs)))
    ours = over_seeds([statistics.fmean(of_pair) for of_pair in gains.values()])
    ranks = {lora_rank for _, (lora_rank, *_) in pairs}
    beside = _published_gain(TABLE3_GENERALISATION, "MemFT-OT", ranks)
    over = f"{_counted(ours.num_seeds, 'unseen pair')}, {_counted(len(pairs), 'cell')} of each"
    claim = "MemFT-OT generalises better than SFT: f(x, y) = 3x + 5y + 7"
    yield claim, _is_above_zero(ours), ours.value, ours.low, ours.high, beside, over, "more than 0 points"


def _is_recalled(record: RecordDynamics) -> bool:
    return record.first_failure_position is None
