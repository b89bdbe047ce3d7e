"""``--to gguf``: the adapter as one GGUF file for llama.cpp, and on request every record run there.

The file holds fp32, so that nothing of the certified weights is lost on the way.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from byheart.artifacts import atomic_path
from byheart.errors import ModelError
from byheart.export.bundle import Bundle
from byheart.export.engine_certificate import EngineCertificate
from byheart.export.engine_check import certify_in_engine
from byheart.export.gguf_base import BaseGguf, base_gguf, own_gguf
from byheart.export.gguf_converter import CardFacts, convert_adapter
from byheart.export.llama_cpp import NAME
from byheart.export.output import refuse_occupied
from byheart.export.readable import refuse_misread
from byheart.export.request import Exported, ExportRequest, Listener
from byheart.model.catalog import CATALOG


def export(bundle: Bundle, request: ExportRequest, listener: Listener) -> Exported:
    """Writes the adapter's GGUF file; with ``request.check`` adds an engine's certificate to the bundle.

    Raises:
        BundleError: llama.cpp would misread the adapter.
        SettingsError: it is to be checked, and there is no base for that.
        ModelError: a library is missing, or the converter or the engine refuses.
        ArtifactError: something else is where it is to be written.
    """
    refuse_misread(bundle.manifest, request.directory, request.name)
    refuse_occupied(request)
    needs_base = request.check or request.base_gguf is not None
    base = base_gguf(bundle.base, request.base_gguf, listener.say) if needs_base else own_gguf(bundle.base)
    convert(bundle, request.directory, request.out, base)
    certificate = None
    if base is not None and request.check:
        certificate = check(bundle, base, request.out, listener)
        certificate.save(request.directory)
    beside = str(base.path) if base else "BASE.gguf"
    command = shlex.join(["llama-server", "-m", beside, "--lora", str(request.out), "--temp", "0"])
    return Exported(request.out, (request.out.name,), (("llama.cpp", command),), engine_certificate=certificate)


def convert(bundle: Bundle, directory: Path, out: Path, base: BaseGguf | None = None) -> None:
    """The adapter in a bundle's directory → a GGUF file, proved to hold two matrices for every site before it is there.

    Args:
        bundle: read from ``directory``.
        directory: of the bundle.
        out: the file; one that is there is replaced.
        base: whose licence the file keeps; None: nothing is said of a licence.

    Raises:
        ModelError: the converter refuses, or leaves a site out.
    """
    from gguf import GGUFReader

    with atomic_path(out) as partial:
        convert_adapter(directory, _config(bundle), _facts(bundle, directory, base), partial)
        num_matrices, num_sites = len(GGUFReader(partial).tensors), len(bundle.adapter.placement.sites)
        if num_matrices < 2 * num_sites:
            raise ModelError(
                f"llama.cpp's converter has kept {num_matrices} of the {2 * num_sites} matrices of {num_sites} adapted "
                "modules: this architecture's adapters cannot be told in GGUF; export with --to merged"
            )


def check(bundle: Bundle, base: BaseGguf, adapter_gguf: Path, listener: Listener) -> EngineCertificate:
    """Every record run in llama.cpp."""
    listener.say(f"running every record in {NAME} on {base.path.name} ({base.quantisation})")
    with listener.phase(f"running in {NAME}", len(bundle.memory)) as advance:
        return certify_in_engine(bundle, base, adapter_gguf, advance)


def _config(bundle: Bundle) -> dict[str, Any]:
    config = bundle.base.model.config.to_dict()
    return {**config, "architectures": [bundle.base.identity.architecture]}


def _facts(bundle: Bundle, directory: Path, base: BaseGguf | None) -> CardFacts:
    name = bundle.base.identity.name
    entry = CATALOG.get(name)
    counts = (
        f"{len(bundle.memory):,} records learnt by heart, {bundle.certificate.num('certified'):,} of them certified"
    )
    return CardFacts(
        name=directory.resolve().name,
        description=f"LoRA adapter of byheart: {counts}; adapter {bundle.certificate.subject.adapter_sha256[:12]}",
        base_model=entry.hub_id if entry else _without_path(name),
        license=base.license if base else None,
    )


def _without_path(name: str) -> str:
    """A hub id as it is; of a directory its last part alone, since a path means nothing elsewhere."""
    path = Path(name)
    return path.resolve().name if path.is_dir() else name
