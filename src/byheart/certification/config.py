"""Settings of the proof."""

from __future__ import annotations

from pydantic import Field

from byheart.settings import Settings


class CertifyConfig(Settings):
    """How the proof is measured."""

    max_batch_tokens: int = Field(default=4096, ge=1)
    """Padded tokens of a batch, at most; part of the certificate, since it decides how products are rounded."""
