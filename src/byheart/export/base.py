"""The base model that a bundle belongs to: how it is loaded again, and whether a loaded one is it.

A bundle may come from a stranger. What its manifest says decides which weights are looked for and how they are rounded;
it never decides that code is run, nor on which device.
"""

from __future__ import annotations

import importlib.util

import torch

from byheart.errors import BundleError
from byheart.export.manifest import MANIFEST_FILE, Manifest
from byheart.memory.template import find_stop_id, template_fingerprint
from byheart.memory.tokenizer import tokenizer_fingerprint
from byheart.model.base import Base, BaseIdentity
from byheart.model.config import ModelConfig


def base_config(manifest: Manifest, elsewhere: str | None = None) -> ModelConfig:
    """How to load a bundle's base model: in the dtype that was measured, on this machine's own device.

    Code that comes with a model is never run; whoever needs that loads the `Base` and passes it.

    Args:
        manifest: of the bundle.
        elsewhere: where the model is now; None: where it was when it was learnt.

    Raises:
        SettingsError: the manifest's base has numerics that no model is loaded with.
    """
    learnt_on, identity = manifest.run_config.model, manifest.base
    return ModelConfig.parse(
        {
            "name": learnt_on.name if elsewhere is None else elsewhere,
            "revision": (identity["revision"] or learnt_on.revision) if elsewhere is None else None,
            "dtype": identity["dtype"],
            "device": "auto",
            "attention": _attention(identity["attention"]),
            "trust_remote_code": False,
        },
        MANIFEST_FILE,
    )


def _attention(measured: str) -> str:
    """The implementation that was measured, or where this machine lacks it what transformers chooses."""
    if measured in ("sdpa", "eager"):
        return measured
    has_flash = torch.cuda.is_available() and importlib.util.find_spec("flash_attn") is not None
    return measured if measured == "flash_attention_2" and has_flash else "auto"


def refuse_other_base(manifest: Manifest, base: Base) -> None:
    """Makes sure that ``base`` is the model the bundle was learnt on.

    Raises:
        BundleError: it is another, or cannot be told to be the same.
    """
    learnt_on, now = BaseIdentity(**manifest.base), base.identity
    if now.same_weights(learnt_on):
        return
    if now.weights_sha256 and learnt_on.weights_sha256:
        raise BundleError(
            f"{now.name!r} has other weights than {learnt_on.name!r}, the model this bundle was learnt on; "
            "use the same base model and revision, or learn again"
        )
    raise BundleError(
        f"{now.name!r} (revision {now.revision}) cannot be told apart from {learnt_on.name!r} (revision "
        f"{learnt_on.revision}), the model this bundle was learnt on, nor be known to be it: the hash of one's "
        "weights is missing; use the same name and revision, or learn again"
    )


def refuse_other_tokens(manifest: Manifest, base: Base) -> None:
    """Makes sure that ``base`` has the tokenizer and chat template the bundle was learnt with.

    Raises:
        BundleError: one of them is another.
    """
    config = manifest.run_config.encode
    stop_id = find_stop_id(base.tokenizer, config)
    for what, then, now in (
        ("tokenizer", manifest.tokenizer_fingerprint, tokenizer_fingerprint(base.tokenizer)),
        ("chat template", manifest.template_fingerprint, template_fingerprint(base.tokenizer, config, stop_id)),
    ):
        if then != now:
            raise BundleError(
                f"the {what} of {base.identity.name!r} is not the one this bundle was learnt with "
                f"(hash {now[:12]}, then {then[:12]}); "
                "use the same base model and revision, or learn again"
            )
