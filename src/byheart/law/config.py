"""Settings of a fit."""

from __future__ import annotations

from pydantic import Field

from byheart.settings import Settings


class FitConfig(Settings):
    """How constants and their intervals are found."""

    is_robust: bool = True
    """Cauchy loss, so that one bad cell does not carry the fit; otherwise plain least squares."""
    num_resamples: int = Field(default=300, ge=50)
    """Bootstrap resamples behind each interval."""
    confidence: float = Field(default=0.95, gt=0.5, lt=1.0)
    """Share of the resamples' constants that an interval holds."""
    seed: int = Field(default=42, ge=0, lt=2**31)
    """Of the resamples."""
