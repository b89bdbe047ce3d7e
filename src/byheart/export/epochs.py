"""The epochs of a bundle's run, read again from what the run told while it went."""

from __future__ import annotations

import json
from pathlib import Path

from byheart.errors import ArtifactError
from byheart.export.manifest import METRICS_FILE
from byheart.learning.events import EpochEvent

__all__ = ["EpochEvent", "read_epochs"]


def read_epochs(bundle: Path) -> list[EpochEvent]:
    """Every epoch, in order.

    Args:
        bundle: its directory.

    Raises:
        ArtifactError: there are none, or they are damaged.
    """
    path = bundle / METRICS_FILE
    try:
        return [EpochEvent(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError, TypeError) as error:
        raise ArtifactError(f"cannot read {path}: {error}; remove it, and the page does without") from error
