"""A bundle opened for use, its base model taken from where the user says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from byheart.export.manifest import Manifest

if TYPE_CHECKING:
    from byheart.export.bundle import Bundle


def open_bundle(directory: Path, manifest: Manifest, model: str | None) -> Bundle:
    """The bundle in ``directory``; imports torch.

    Args:
        directory: of the bundle.
        manifest: read from it.
        model: where its base model is now; None: where it was when it was learnt.

    Raises:
        ArtifactError, BundleError, ModelError: as `Bundle.read` and `load` do.
    """
    from byheart.export.base import base_config
    from byheart.export.bundle import Bundle
    from byheart.model.base import load

    return Bundle.read(directory, None if model is None else load(base_config(manifest, model)))
