"""Which of the paper's claims on its methods hold, by pairs of cells that have rank, size, ratio and seed in common."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence

from byheart.certification.dynamics import RecordDynamics
from byheart.paper.comparison import mean_of
from byheart.paper.findings import Finding, Findings
from byheart.paper.method_tables import PARTS, SHARES, published_table
from byheart.paper.published import ALL_FORMS, FORMS, TABLE3_GENERALISATION, Form, Published
from byheart.paper.seeds import Mean, over_seeds
from byheart.paper.verdict import OPEN, Row, by
from byheart.sweep.cell import CellResult
from byheart.sweep.texts import Texts

_Key = tuple[int, tuple[int, int, Texts]]
"""Seed, and place: rank, size and texts."""
_Both = tuple[list[Finding], list[Finding]]
"""Cells of plain fine-tuning, and those of a form of MemFT, that have a key in common."""


def methods(findings: Findings) -> Iterator[Row]:
    """A row for each form of MemFT beside plain fine-tuning, on long texts and PhoneBook; and for whole recall."""
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
    return by(ours.low > 0, ours.high <= 0)


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
        verdict = by(does, has_seeds and first["SFT"] <= best and first["SFT"] < math.inf)
        rule += f"; from, to: SFT's exact match at rank {at}, %"
    over = f"{_counted(len(cells), 'cell')}, {_counted(len({cell.seed for cell in cells}), 'seed')}"
    return f"every record comes back: {part}", verdict, _told(first), low, high, _told(theirs), over, rule


def _told(ranks: Mapping[Form, float]) -> str:
    return ", ".join(
        f"{form} {'never' if math.isinf(rank) else f'first at rank {rank:,}'}" for form, rank in ranks.items()
    )


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def generalisation(findings: Findings) -> Iterator[Row]:
    """What MemFT-OT knows more of the pairs that were not learnt; no row without cells of both methods."""
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
