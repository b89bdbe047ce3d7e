"""Which exports there are: an explicit table. A new one is a file of this room, a line here, and its name in
`byheart.export.request`.
"""

from __future__ import annotations

from collections.abc import Callable

from byheart.export import gguf, merged, mlx, ollama, served
from byheart.export.bundle import Bundle
from byheart.export.request import Exported, ExportRequest, Listener

Exporter = Callable[[Bundle, ExportRequest, Listener], Exported]

EXPORTS: dict[str, Exporter] = {
    "gguf": gguf.export,
    "merged": merged.export,
    "mlx": mlx.export,
    "ollama": ollama.export,
    "peft": served.export,
}


def export(bundle: Bundle, request: ExportRequest, listener: Listener) -> Exported:
    """Writes ``bundle`` as another engine loads it.

    Args:
        bundle: read from ``request.directory``.
        request: what is asked, made by `ExportRequest.parse`.
        listener: told what happens.

    Raises:
        BundleError: the engine would misread the adapter.
        ArtifactError: something else is where it is to be written, or it cannot be written.
        ModelError: a library is missing, or the engine or its converter refuses.
        SettingsError: the engine's base model is not at hand.

    Example:
        >>> request = ExportRequest.parse(Path("runs/contacts"), "gguf", check=True)     # doctest: +SKIP
        >>> export(Bundle.read("runs/contacts"), request, Silent()).is_exact             # doctest: +SKIP
        True
    """
    return EXPORTS[request.name](bundle, request, listener)
