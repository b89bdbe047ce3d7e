"""MemFT-SW, temporal: a growing prefix of one fixed shuffle (the paper's form for PhoneBook).

A few records are learnt first; the prefix grows at fixed epochs until it holds them all. Records rounded down to whole
batches, at least one batch (constants and rounding: the authors' scripts, which never show the records of a last broken
batch; here the last stage holds every record).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from byheart.errors import SettingsError
from byheart.method.config import PAPER_RATIOS, curriculum_flaw
from byheart.method.schedule import Standing

PAPER_BOUNDARIES = (20 / 300, 40 / 300, 60 / 300, 80 / 300, 1.0)
"""Ends of the stages as shares of the run: PhoneBook at 1k answer tokens, 300 epochs."""


@dataclass(frozen=True, slots=True)
class GrowingPrefix:
    """Stage i shows the first ``ratios[i]`` of the shuffled records until epoch ``boundaries[i]``.

    Attributes:
        boundaries: first epoch after each stage; the last stage also holds for every later epoch.
        batch_size: records a step; a stage shows whole batches of them.
        ratios: share of the records shown in each stage; the last is 1.
    """

    boundaries: tuple[int, ...]
    batch_size: int
    ratios: tuple[float, ...] = PAPER_RATIOS

    def __post_init__(self) -> None:
        if flaw := curriculum_flaw(self.ratios, self.boundaries, len(self.boundaries)):
            raise SettingsError(flaw)

    def __call__(self, epoch: int, standing: Standing, seed: int) -> Tensor:
        num_records = len(standing.last_seen_N)
        stage = next((i for i, end in enumerate(self.boundaries) if epoch < end), len(self.ratios) - 1)
        num_shown = int(num_records * self.ratios[stage] + 1e-9)  # 100 · 0.58 is 57.99… in floats, and means 58
        if num_shown < num_records:
            num_shown = max(num_shown // self.batch_size, 1) * self.batch_size
        shuffled_N = torch.randperm(num_records, generator=torch.Generator().manual_seed(seed))
        return shuffled_N[: min(num_shown, num_records)]
