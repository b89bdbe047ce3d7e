"""Token dynamics as blocks of a page: the claim in numbers, where p lies, where free runs fail."""

from __future__ import annotations

from collections import Counter

from byheart.certification.dynamics import Dynamics
from byheart.report.blocks import Axis, Block, Chart, Charts, Facts, Prose, Rule, Series, Value

NUM_BINS = 20


def dynamics_blocks(found: Dynamics) -> list[Block]:
    """What there is to say of the tokens of one certificate or of many."""
    claim, bound = found.claim, found.bound
    rows: list[tuple[str, Value]] = [
        ("Answer tokens", found.num_tokens),
        ("Stubborn, p ≤ 0.5", claim.num_stubborn),
        ("Above 0.5 and not the argmax", claim.num_above_not_argmax),
        ("Stubborn and the argmax all the same", claim.num_stubborn_argmax),
    ]
    if bound.num_records:
        rows += [
            ("Records that failed at or after a stubborn token", f"{bound.num_kept:,} of {bound.num_records:,}"),
            ("Spearman's ρ, earliest stubborn position and i*", bound.spearman_rho),
        ]
    if bound.num_unforeseen:
        rows.append(("Records that failed without a stubborn token", bound.num_unforeseen))
    blocks: list[Block] = [Facts(rows), Prose(_claim_sentence(found))]
    if bound.num_records and bound.spearman_rho is None:
        blocks.append(Prose("No correlation: it takes three failed records, and positions that are not all the same."))
    if found.pairs:
        blocks.append(Charts("Earliest stubborn token against i*", {"bound": _bound_chart(found)}))
    if bins := found.failure_histogram():
        width = bins[0].stop - bins[0].start
        points = [
            ((each.start + each.stop + 1) / 2, each.count, f"positions {each.start + 1:,} to {each.stop:,}")
            for each in bins
        ]
        chart = Chart(
            x=Axis("position of the first wrong token", ends=(0.5, bins[-1].stop + 0.5)),
            y=Axis("records", ends=(0, 1), is_count=True),
            series=[Series("first failures", points, "bars", 1, width=width)],
        )
        blocks.append(Charts("Where free runs fail", {"failures": chart}))
    return blocks


def _bound_chart(found: Dynamics) -> Chart:
    """One mark for all records with the same two positions, counted from 1; below the line the bound is broken."""
    counts = Counter((earliest + 1, failure + 1) for earliest, failure in found.pairs)
    points = [(x, y, f"{count:,} {'record' if count == 1 else 'records'}") for (x, y), count in sorted(counts.items())]
    top = max(max(pair) for pair in counts)
    return Chart(
        x=Axis("earliest stubborn token", "log", ends=(1, max(top, 2)), is_count=True),
        y=Axis("first wrong token, i*", "log", ends=(1, max(top, 2)), is_count=True),
        series=[Series("", [(1, 1), (top, top)], "line", None), Series("failed records", points, "points", 0)],
    )


def _claim_sentence(found: Dynamics) -> str:
    claim = found.claim
    if not claim.holds:
        return (
            f"{claim.num_above_not_argmax:,} of {claim.num_above:,} tokens above 0.5 were not the most probable one; "
            "that cannot be of exact numbers, and asks for a look at the numerics."
        )
    sentence = f"None of {claim.num_above:,} tokens above 0.5 lost to another: the threshold sufficed."
    if not claim.num_stubborn:
        return sentence
    return (
        f"{sentence} It is not necessary: {claim.num_stubborn_argmax:,} of {claim.num_stubborn:,} tokens at or below "
        "it were the most probable all the same."
    )


def probability_histogram(found: Dynamics) -> Charts:
    """How many tokens have which p, in twentieths; one half belongs to the bin below it, as it is stubborn."""
    counts = [0] * NUM_BINS
    for record in found.records:
        for p in record.p:
            counts[bin_of(p)] += 1
    width = 1 / NUM_BINS
    half = NUM_BINS // 2
    points = [
        ((index + 0.5) * width, count, f"p from {index * width:.2f} to {(index + 1) * width:.2f}")
        for index, count in enumerate(counts)
    ]
    chart = Chart(
        x=Axis("p", ends=(0, 1), ticks=(0, 0.25, 0.5, 0.75, 1)),
        y=Axis("answer tokens", "log1p", ends=(0, 1)),
        series=[
            Series("stubborn, p ≤ 0.5", points[:half], "bars", 1, width=width),
            Series("above 0.5", points[half:], "bars", 0, width=width),
        ],
        rules=[Rule("0.5", x=0.5)],
    )
    return Charts("How probable the answer tokens are", {"p": chart})


def bin_of(p: float) -> int:
    """Index of the bin that p falls into: (start, stop], the first with its start.

    >>> bin_of(0.0), bin_of(0.5), bin_of(0.500001), bin_of(1.0)
    (0, 9, 10, 19)
    """
    above = int(p * NUM_BINS)
    return max(above - 1, 0) if above == p * NUM_BINS else above
