"""Cells of three kinds of content whose law and whose recall are known, and a calibration made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from byheart.config import RunConfig
from byheart.law.forecast import Forecast, fit_forecast
from byheart.law.form import Law
from byheart.law.observation import Observation
from byheart.law.recall import fit_recall
from byheart.model.base import BaseIdentity
from byheart.model.placement import Placement
from byheart.planning.calibration import Calibration, CalibrationCell, Subject, settings_of
from laws_for_tests import observation

SHARE_LAW = Law(axis="lora_rank", coefficient=2.6, rank_exponent=0.6, length_exponent=0.5, offset_nats=0.02)
"""In shares of the loss before."""
CONTENT = {"random": (13.7, (25, 50, 100, 200)), "prose": (3.5, (50, 100, 200, 400)), "phonebook": (2.5, (30, 90, 270))}
"""Loss before, and lengths."""
RANKS = (1, 2, 4, 8, 16, 32)


def simulated(
    content: Mapping[str, tuple[float, Sequence[int]]] | None = None,
    *,
    seed: int = 0,
    steepness: float = 8.0,
    needed: float = 1.2,
    law: Law = SHARE_LAW,
    per_loss: bool = True,
) -> list[Observation]:
    """Cells that obey ``law`` with 3 % of noise; all records come back with probability σ(steepness · ln(ΔL / (needed ·
    L_before))), ΔL not clipped.
    """
    generator = np.random.default_rng(seed)
    cells: list[Observation] = []
    for group, (before, lengths) in (content or CONTENT).items():
        for rank in RANKS:
            for length in lengths:
                drop = float(law.unclipped_nats(rank, length)) * (before if per_loss else 1.0)
                drop *= 1 + 0.03 * float(generator.standard_normal())
                odds = (drop / before / needed) ** steepness
                is_whole = bool(generator.random() < odds / (1 + odds))
                cells.append(cell(group, rank, length, before, max(before - drop, 0.02), is_whole=is_whole))
    return cells


def cell(
    group: str, rank: int, length: int, before: float, after: float, *, is_whole: bool, num_records: int = 10
) -> Observation:
    """One cell, with all of its records certified or three fifths of them."""
    num_certified = num_records if is_whole else 6 * num_records // 10
    plain = observation(rank, length, before - after, before, group)
    return replace(plain, nll_after_nats=after, num_certified=num_certified, num_records=num_records)


def saturated_or_lost() -> list[Observation]:
    """Cells that carry no law: each holds all or next to nothing."""
    return [
        cell(group, rank, length, before, 0.1 if (holds := rank * 40 > length * before / 3) else before, is_whole=holds)
        for group, (before, lengths) in CONTENT.items()
        for rank in RANKS
        for length in lengths
    ]


def calibration_of(
    observations: Sequence[Observation],
    base: BaseIdentity,
    outline: Placement,
    config: RunConfig,
    forecast: Forecast | None = None,
) -> Calibration:
    """A calibration of a model, with somebody else's cells."""
    rows = tuple(
        CalibrationCell(
            cell=each.name,
            stop_reason="certified",
            epochs=10,
            seconds=0.01 * each.num_answer_tokens,
            **{name: getattr(each, name) for name in CalibrationCell.model_fields if hasattr(each, name)},
        )
        for each in observations
    )
    values: dict[str, Any] = {"device": "cpu", "dtype": "float32", "num_threads": 1}
    return Calibration(
        subject=Subject.of(base, outline, config.method.name),
        settings=settings_of(config),
        parameters_per_rank=outline.num_parameters // outline.lora_rank,
        cells=rows,
        num_failed=0,
        forecast=forecast,
        forecast_reason="" if forecast else "no law in these cells",
        recall=fit_recall(observations, forecast),
        timing=None,
        machine=values,
        versions={"byheart": "0.1.0"},
    )


def forecast_of(observations: Sequence[Observation]) -> Forecast:
    """The law of shares, fitted plainly, so that it is quick."""
    return fit_forecast(observations, "share")
