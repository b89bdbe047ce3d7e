"""``--to merged``: the base with the adapter inside, as transformers saves it, certified again as it was saved.

Merged weights are rounded once more, so that the merged model is another one than base and adapter beside each other:
what the bundle's certificate says does not hold for it. It is loaded from its files and measured anew.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from byheart.certification.certificate import Certificate
from byheart.certification.check import certify_as_it_stands
from byheart.export.bundle import Bundle
from byheart.export.engine_check import encoded_as_certified
from byheart.export.manifest import CERTIFICATE_FILE
from byheart.export.merging import merged
from byheart.export.output import refuse_occupied, whole_directory
from byheart.export.readable import refuse_misread
from byheart.export.request import Exported, ExportRequest, Listener
from byheart.model.base import load
from byheart.model.config import ModelConfig
from byheart.model.quiet import quiet_transformers


def export(bundle: Bundle, request: ExportRequest, listener: Listener) -> Exported:
    """Writes the merged model in the base's dtype, with the certificate measured on it.

    Raises:
        BundleError: the adapter is no LoRA of modules, or the records have other token ids than those certified.
        ArtifactError: something else is where it is to be written.
    """
    refuse_misread(bundle.manifest, request.directory, request.name)
    refuse_occupied(request)
    with whole_directory(request, bundle.certificate.subject.adapter_sha256) as working:
        listener.say(f"writing the merged model in {bundle.base.identity.dtype}")
        with quiet_transformers(), merged(bundle.base.model, bundle.adapter):
            bundle.base.model.save_pretrained(working)
            bundle.base.tokenizer.save_pretrained(working)
        certificate = _certified(bundle, working, request, listener)
        certificate.save(working / CERTIFICATE_FILE)
        names = tuple(sorted(path.name for path in working.iterdir()))
    dtype = bundle.base.identity.dtype
    how = (("transformers", f"AutoModelForCausalLM.from_pretrained({str(request.out)!r}, dtype={dtype!r})"),)
    return Exported(request.out, names, how, certificate=certificate)


def _certified(bundle: Bundle, directory: Path, request: ExportRequest, listener: Listener) -> Certificate:
    """The certificate of the model in ``directory``, which names the adapter that is inside."""
    identity = bundle.base.identity
    config = ModelConfig.parse(
        {"name": str(directory), "dtype": identity.dtype, "device": identity.device, "attention": identity.attention}
    )
    base = load(config)
    base = replace(base, identity=replace(base.identity, name=request.out.name))
    encoded = encoded_as_certified(replace(bundle, base=base))  # by the tokenizer that was saved with it
    adapter_sha256, how = bundle.certificate.subject.adapter_sha256, bundle.manifest.run_config.certify
    with listener.phase("certifying", 2 * len(encoded)) as advance:
        return certify_as_it_stands(base, adapter_sha256, encoded, how, advance)
