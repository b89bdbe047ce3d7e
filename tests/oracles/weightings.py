"""The four methods in plain Python: lists of floats, one record after another, nothing clever.

Written from the text of the paper and of its scripts, not from `byheart.method`, and sharing no line with it. What the
text leaves open is decided here and said where it is decided. Losses are in nats; a record is the list of losses of its
answer tokens, in the order of the answer.
"""

import math
from dataclasses import dataclass

CERTAIN_NLL = math.log(2)


def objective(nll: list[float], weights: list[float], epsilon: float) -> float:
    """Σ w·L / (Σ w + ε)."""
    total = 0.0
    mass = 0.0
    for one_nll, one_weight in zip(nll, weights, strict=True):
        total += one_weight * one_nll
        mass += one_weight
    if mass == 0:
        return 0.0
    return total / (mass + epsilon)


def sft(records: list[list[float]]) -> list[list[float]]:
    """w = 1."""
    return [[1.0 for _ in nll] for nll in records]


def memft_ot(
    records: list[list[float]], critical_nll: float = CERTAIN_NLL, sft_fallback: bool = False
) -> list[list[float]]:
    """w = 1[L > ln 2]. The fallback: a batch in which no token is above the threshold is trained as SFT trains it."""
    weights = [[1.0 if one > critical_nll else 0.0 for one in nll] for nll in records]
    nothing_active = all(one == 0.0 for record in weights for one in record)
    if sft_fallback and nothing_active:
        return sft(records)
    return weights


@dataclass
class WindowMemory:
    """What the spatial window remembers of one record (or, in the scripts, of one place in the batch)."""

    anchor: int | None = None  # None: never seen yet, or no error left
    steps_put: int = 0
    expansion: float = 1.0


def memft_sw(
    records: list[list[float]],
    errors: list[list[bool]],
    keys: list[str],
    remembered: dict[str, WindowMemory],
    *,
    critical_nll: float = CERTAIN_NLL,
    sharpness: float = 10.0,
    decay: float = 20.0,
    floor: float = 0.01,
    base_window: float = 50.0,
    growth: float = 0.5,
    most: float = 4.0,
    patience: int = 3,
    skip_last: int = 0,
) -> list[list[float]]:
    """One step of the spatial sliding window; `remembered` is changed in place.

    Args:
        errors: per record and answer position, whether the argmax (teacher-forced) is another token than the answer's.
        keys: whose memory each record reads and writes: record ids as the paper means it, `slot 0`, `slot 1`, … as its
            scripts do it.
        skip_last: how many tokens at the end of each answer are not trained on (the scripts' Qwen runs: five); such a
            token can be no anchor either.

    The order within a step: find the anchor, count, grow, then weigh with the window as it now is. The step in which
    an anchor is first seen counts as nought, so the first growth comes with the fourth step at one anchor. A record
    without an error has nothing to remember.
    """
    weights: list[list[float]] = []
    for nll, wrong, key in zip(records, errors, keys, strict=True):
        memory = remembered.setdefault(key, WindowMemory())
        num_trained = max(len(nll) - skip_last, 0)
        anchor = None
        for position in range(num_trained):
            if wrong[position]:
                anchor = position
                break

        if anchor is None:
            memory.anchor, memory.steps_put, memory.expansion = None, 0, 1.0
        elif anchor == memory.anchor:
            memory.steps_put += 1
            if memory.steps_put >= patience:
                memory.expansion = min(memory.expansion + growth, most)
        else:
            memory.anchor, memory.steps_put, memory.expansion = anchor, 0, 1.0

        window = base_window * memory.expansion
        row: list[float] = []
        for position, one_nll in enumerate(nll):
            base = 1.0 / (1.0 + math.exp(-sharpness * (one_nll - critical_nll)))
            if anchor is None:
                mask = 1.0
            elif position - anchor < window:
                mask = math.exp(-max(position - anchor, 0) / decay)
            else:
                mask = floor
            row.append(base * mask if position < num_trained else 0.0)
        weights.append(row)
    return weights


def curriculum_counts(
    num_records: int, batch_records: int, boundaries: list[int], ratios: list[float], num_epochs: int
) -> list[int]:
    """Per epoch (counted from nought), how many records of the one shuffle are shown.

    Ratio i holds in the epochs before boundary i. Rounded down to whole batches, at least one; all of the records once
    the ratio is 1.
    """
    counts: list[int] = []
    for epoch in range(num_epochs):
        ratio = ratios[-1]
        for one_ratio, boundary in zip(ratios, boundaries, strict=True):
            if epoch < boundary:
                ratio = one_ratio
                break
        if ratio == 1.0:
            counts.append(num_records)
            continue
        num_batches = 0
        while (num_batches + 1) * batch_records <= ratio * num_records + 1e-9:
            num_batches += 1
        counts.append(min(max(num_batches, 1) * batch_records, num_records))
    return counts
