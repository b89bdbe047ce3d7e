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
from collections.abc import Iterator, Mapping, Sequence

from byheart.certification.dynamics import Dynamics, RecordDynamics, spearman
from byheart.paper.findings import Finding, Findings
from byheart.paper.law_tables import GroupFit
from byheart.paper.method_tables import PARTS, SHARES, published_table
from byheart.paper.published import (
    ALL_FORMS,
    LENGTH_EXPONENT,
    RANK_EXPONENT,
    SPEARMAN,
    TABLE3_GENERALISATION,
    Form,
    Published,
)
from byheart.paper.seeds import Mean, over_seeds
from byheart.paper.table import Column, Table, Value
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
_LEAST_R_SQUARED = 0.98
_NEAR_EXPONENT = 0.25
"""A share of the published exponent."""
_NEAR_RHO = 0.05
_NUM_RESAMPLES, _CONFIDENCE = 500, 0.95
_NOTES = (
    "from, to: 95 % interval: of exponents over bootstrap resamples of cells, of ρ over resamples of failed records, "
    "of methods over seeds (Student's t), of generalisation over unseen pairs under the adapters that there are",
    "open: part of the interval speaks for the claim and part against it, or there is one seed and so no interval",
    "points: percentage points, the mean over cells with rank, size, ratio and seed in common; published: the mean "
    "over ranks that ours has too, at the published budgets",
)
Row = tuple[Value, ...]
_Key = tuple[int, int, Texts, int]
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
        verdict = HOLDS if r_squared >= _LEAST_R_SQUARED else FAILS
        beside = each.published.r_squared.value
        yield f"the law fits {each.name}", verdict, r_squared, None, None, beside, over, "R² of 0.98 or more"
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
    long = Dynamics(tuple(by_task.get("long-context", ())))
    bound = long.bound
    if num_failed := bound.num_records + bound.num_unforeseen:
        num_early = num_failed - bound.num_kept
        over = f"{num_failed:,} long texts that fail"
        claim = "no free run fails before the earliest stubborn token"
        yield claim, _all_or(num_early == 0), num_early, None, None, None, over, "none does"
    if bound.spearman_rho is not None:
        low, high = _rho_interval(long.pairs)
        least = SPEARMAN.value - _NEAR_RHO
        claim = "Spearman's ρ of earliest stubborn token and first failure"
        over, rule = f"{bound.num_records:,} long texts that fail", f"no more than {_NEAR_RHO} below the published one"
        yield claim, _by(low >= least, high < least), bound.spearman_rho, low, high, SPEARMAN.value, over, rule


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
                gains = {key: 100 * (share(other) - share(plain)) for key, (plain, other) in pairs.items()}
                ours = _over_seeds({key: (pairs[key][0].seed, gain) for key, gain in gains.items()}, -100, 100)
                ranks = {plain.lora_rank for plain, _ in pairs.values()}
                beside = _published_gain(published, form, ranks)
                claim = f"{form} knows more than SFT: {part}, {quantity}"
                over = f"{_counted(len(pairs), 'cell')} of each, {_counted(ours.num_seeds, 'seed')}"
                yield claim, _is_above_zero(ours), ours.value, ours.low, ours.high, beside, over, "more than 0 points"
        if quantity == "exact match" and cells:
            yield _first_whole(part, cells, published)


def _pairs(cells: Sequence[Finding], form: Form) -> dict[_Key, tuple[Finding, Finding]]:
    """Cells of plain fine-tuning and of a form that have rank, size, ratio and seed in common."""

    def by_key(form: Form) -> dict[_Key, Finding]:
        return {_key(cell): cell for cell in cells if cell.form == form}

    plain, other = by_key("SFT"), by_key(form)
    return {key: (plain[key], other[key]) for key in plain if key in other}


def _key(cell: Finding) -> _Key:
    return cell.lora_rank, cell.size, cell.texts, cell.seed


def _over_seeds(values: Mapping[_Key, tuple[int, float]], lowest: float = -math.inf, highest: float = math.inf) -> Mean:
    seeds = sorted({seed for seed, _ in values.values()})
    means = [statistics.fmean(value for each, value in values.values() if each == seed) for seed in seeds]
    return over_seeds(means, lowest, highest)


def _published_gain(table: Mapping[Form, Mapping[int, Published]], form: Form, ranks: set[int]) -> float | None:
    shared = [rank for rank in table["SFT"] if rank in ranks and rank in table[form]]
    gains = [table[form][rank].value - table["SFT"][rank].value for rank in shared]
    return statistics.fmean(gains) if gains else None


def _is_above_zero(ours: Mean) -> str:
    if ours.low is None or ours.high is None:
        return OPEN
    return _by(ours.low > 0, ours.high <= 0)


def _first_whole(part: str, cells: Sequence[Finding], published: Mapping[Form, Mapping[int, Published]]) -> Row:
    """From which rank on every record comes back, in every seed and at every size, and what SFT recalls at that rank.

    From and to are of SFT's exact match at the first rank at which a form of MemFT is whole; where none is, at SFT's
    largest.
    """
    first: dict[Form, float] = {}
    for form in ALL_FORMS:
        ranks: dict[int, list[float]] = {}
        for cell in cells:
            if cell.form == form:
                ranks.setdefault(cell.lora_rank, []).append(cell.measured.exact_match)
        if ranks:
            first[form] = min((rank for rank, shares in ranks.items() if min(shares) == 1), default=math.inf)
    theirs: dict[Form, float] = {
        form: min((rank for rank, each in row.items() if each.value == 100), default=math.inf)
        for form, row in published.items()
    }
    best = min((rank for form, rank in first.items() if form != "SFT"), default=math.inf)
    plain = [cell for cell in cells if cell.form == "SFT"]
    at = best if any(cell.lora_rank == best for cell in plain) else max((cell.lora_rank for cell in plain), default=0)
    there = {_key(cell): (cell.seed, 100 * cell.measured.exact_match) for cell in plain if cell.lora_rank == at}
    sft = _over_seeds(there, 0, 100) if there and len(first) > 1 else None
    low, high = (None, None) if sft is None else (sft.low, sft.high)
    verdict = OPEN
    if high is not None:
        verdict = _by(at == best < first["SFT"] and high < 100, first["SFT"] <= best and first["SFT"] < math.inf)
    over = f"{_counted(len(cells), 'cell')}, {_counted(len({cell.seed for cell in cells}), 'seed')}"
    rule = f"a form does so at a rank where SFT does not; from, to: SFT's exact match at rank {at}, %"
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
    for plain, other in pairs.values():
        both = zip(findings.unseen(plain), findings.unseen(other), strict=False)  # of fewer pairs, the same first ones
        for place, (theirs, mine) in enumerate(both):
            gains.setdefault(place, []).append(100 * (_is_recalled(mine) - _is_recalled(theirs)))
    ours = over_seeds([statistics.fmean(of_pair) for of_pair in gains.values()])
    ranks = {plain.lora_rank for plain, _ in pairs.values()}
    beside = _published_gain(TABLE3_GENERALISATION, "MemFT-OT", ranks)
    over = f"{_counted(ours.num_seeds, 'unseen pair')}, {_counted(len(pairs), 'cell')} of each"
    claim = "MemFT-OT generalises better than SFT: f(x, y) = 3x + 5y + 7"
    yield claim, _is_above_zero(ours), ours.value, ours.low, ours.high, beside, over, "more than 0 points"


def _is_recalled(record: RecordDynamics) -> bool:
    return record.first_failure_position is None
