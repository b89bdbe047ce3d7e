"""How far other engines' logits lie from certified ones, as measured; and which records stand above that.

The table is data beside this file, made by benchmarks/engine_noise.py (docs/engines.md): for each engine the most that
a token's logit margin has lost there against the certificate, among close calls, tokens with a certified margin of at
most 3 nats. Surer tokens are pushed about farther, and can afford it.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, PositiveFloat, PositiveInt

from byheart.certification.certificate import RecordCertificate
from byheart.errors import SettingsError, unknown

NOISE_FILE = Path(__file__).with_name("engine_noise.json")

Grade = Literal["robust", "close", "failed"]


class NoiseTable(BaseModel):
    """Measured noise by engine."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)

    source: str
    """What it was measured with, on which model and records."""
    margin_loss_nats: dict[str, PositiveFloat]
    """Engine → the most that a close call's logit margin has lost there, nats."""
    num_close_calls: dict[str, PositiveInt]
    """Engine → among how many close calls that is the largest; few show less than many would."""


@cache
def noise_table() -> NoiseTable:
    """The table that byheart brings along."""
    return NoiseTable.model_validate_json(NOISE_FILE.read_bytes())


def grade(record: RecordCertificate, engine: str) -> Grade:
    """Whether a record will come back in another engine, by the noise measured there.

    Args:
        record: of a certificate.
        engine: a name of `noise_table`'s.

    Returns:
        robust: it comes back, and its smallest logit margin is larger than the engine's noise; close: it comes back
        here, but its smallest margin is not; failed: it does not come back even here.

    Raises:
        SettingsError: nobody has measured that engine.
    """
    noise = noise_table().margin_loss_nats
    if engine not in noise:
        raise SettingsError(unknown("engine", engine, noise))
    if record.verdict == "failed":
        return "failed"
    return "robust" if min(record.logit_margin) > noise[engine] else "close"


def num_robust(records: tuple[RecordCertificate, ...], engine: str) -> int:
    """How many records are graded robust; see `grade`."""
    return sum(grade(record, engine) == "robust" for record in records)
