"""How it was made: versions, hashes, numerics, settings, and the command that does it again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from byheart.certification.certificate import Certificate
from byheart.export.manifest import RECORDS_FILE, Manifest
from byheart.report.blocks import Block, Facts, Listing, Prose, Value

LEFT_OUT = "(left out of this page)"


def bundle_provenance(manifest: Manifest, certificate: Certificate, *, has_text: bool) -> list[Block]:
    """What a bundle was made of and measured under.

    Args:
        manifest: of the bundle.
        certificate: of the bundle.
        has_text: whether texts may be shown; the system prompt is one.
    """
    subject, numerics = certificate.subject, certificate.numerics
    changed = changed_settings(manifest)
    if not has_text and "system_prompt" in changed.get("encode", {}):
        changed["encode"]["system_prompt"] = LEFT_OUT
    rows: list[tuple[str, Value]] = [
        ("base model", f"{subject.base_name} ({subject.base_architecture})"),
        ("base weights, sha256", subject.base_weights_sha256),
        ("base revision", subject.base_revision),
        ("adapter, sha256", subject.adapter_sha256),
        ("tokenizer", subject.tokenizer_fingerprint),
        ("chat template", subject.template_fingerprint),
        ("prompts' ids", subject.prompt_fingerprint),
        ("records' ids", subject.memory_fingerprint),
        ("run", manifest.run_fingerprint),
        ("method", manifest.run_config.method.name),
        ("layers", ", ".join(map(str, manifest.placement["layers"]))),
        ("rank", manifest.rank_reason),
        ("seed", manifest.run_config.seed),
        ("dtype", numerics.dtype),
        ("device", f"{numerics.device}, {numerics.device_name}"),
        ("attention", numerics.attention),
        ("batches", f"at most {numerics.max_batch_tokens:,} tokens"),
        ("threads", numerics.num_threads),
        *((f"{name} version", version) for name, version in numerics.versions.items()),
    ]
    with_config = " --config settings.yaml" if changed else ""
    again = f"byheart learn {RECORDS_FILE} --out again{with_config}"
    blocks: list[Block] = [
        Facts([row for row in rows if row[1] is not None]),
        Prose(
            "A certificate speaks of these numerics and of no others: another dtype, batch shape or engine rounds "
            "differently."
        ),
        Listing("The command that does it again", again),
    ]
    if changed:
        blocks.append(Listing("settings.yaml, what differs from the defaults", as_yaml(changed)))
    return blocks


def changed_settings(manifest: Manifest) -> dict[str, Any]:
    """The settings of a run that are not the defaults of this version."""
    config = manifest.run_config
    return difference(config.model_dump(mode="json"), type(config)().model_dump(mode="json"))


def difference(values: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    """What of nested ``values`` is not the same in ``others``.

    >>> difference({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 1, "c": 5}, "d": 3})
    {'a': {'c': 2}}
    """
    found: dict[str, Any] = {}
    for key, value in values.items():
        other = others.get(key)
        if value == other:
            continue
        found[key] = difference(value, other) if isinstance(value, Mapping) and isinstance(other, Mapping) else value
    return found


def as_yaml(values: Mapping[str, Any]) -> str:
    """Settings as a file for ``--config``."""
    return yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True).rstrip()
