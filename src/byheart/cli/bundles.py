"""A bundle opened for use, its base model taken from where the user says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from byheart.cli.live import Narrator
from byheart.export.manifest import Manifest

if TYPE_CHECKING:
    from byheart.export.bundle import Bundle


def open_bundle(directory: Path, manifest: Manifest, model: str | None, narrator: Narrator | None) -> Bundle:
    """The bundle in ``directory``; imports torch.

    Args:
        directory: of the bundle.
        manifest: read from it.
        model: where its base model is now; None: where it was when it was learnt.
        narrator: told that it is loaded, and what takes long meanwhile; None: nobody.

    Raises:
        ArtifactError, BundleError, ModelError: as `Bundle.read` and `load` do.
    """
    if narrator is not None:
        narrator.begin(f"loading {manifest.summary.model if model is None else model}")
    from byheart.export.base import base_config
    from byheart.export.bundle import Bundle
    from byheart.model.base import load

    announce = (lambda _: None) if narrator is None else narrator.say
    return Bundle.read(directory, None if model is None else load(base_config(manifest, model), announce), announce)
