"""``byheart export``: a bundle → the files of another engine, and on request the proof in that engine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from byheart.cli.bundles import open_bundle
from byheart.cli.engines import verdict_in_engine
from byheart.cli.exits import COMPLETE, SOME_FAILED
from byheart.cli.live import narrating
from byheart.cli.screens import Screen, print_json, screens
from byheart.cli.summary import LONGEST_LINE, counts, print_failures, print_verdict, quoted
from byheart.cli.visible import visible
from byheart.cli.wording import question
from byheart.export.engine_certificate import EngineCertificate
from byheart.export.manifest import Manifest
from byheart.export.output import refuse_occupied
from byheart.export.readable import refuse_misread
from byheart.export.request import Exported, ExportRequest

if TYPE_CHECKING:
    from byheart.memory.records import Memory

_FAILED_SHOWN = 10


def export(
    directory: Path,
    to: str,
    *,
    out: Path | None,
    check: bool,
    base_gguf: str | None,
    model: str | None,
    as_json: bool,
) -> int:
    """Exports a bundle; what would be refused is refused before anything heavy is imported.

    Returns:
        The exit code.
    """
    request = ExportRequest.parse(directory, to, out=out, check=check, base_gguf=base_gguf)
    manifest = Manifest.read(directory)
    refuse_misread(manifest, directory, request.name)
    refuse_occupied(request)
    with screens(as_json) as (results, progress):
        with narrating(progress) as narrator:
            bundle = open_bundle(directory, manifest, model, narrator)
            from byheart.export import registry

            exported = registry.export(bundle, request, narrator)
        _print(results, exported, bundle.memory)
    if as_json:
        print_json({"to": to, "bundle": str(directory), "path": str(exported.path), **_plain(exported)})
    return COMPLETE if exported.is_exact else SOME_FAILED


def _print(screen: Screen, exported: Exported, memory: Memory) -> None:
    screen.paragraph()
    if exported.certificate is not None:
        print_verdict(screen, exported.certificate)
        if not exported.certificate.is_complete:
            screen.paragraph("not certified: merged weights are rounded once more, and some records did not survive it")
            print_failures(screen, exported.certificate, memory)
    if exported.engine_certificate is not None:
        screen.paragraph(verdict_in_engine(exported.engine_certificate))
        _print_engine_failures(screen, exported.engine_certificate, memory)
    if exported.certificate is None and exported.engine_certificate is None:
        screen.paragraph("written; no engine has run it here, so that nothing is certified but the bundle itself")
    screen.rows([("written", str(exported.path)), ("files", ", ".join(exported.files)), *exported.how])


def _print_engine_failures(screen: Screen, certificate: EngineCertificate, memory: Memory) -> None:
    prompts = {record.id: record.prompt for record in memory}
    failed = [record for record in certificate.records if record.first_failure is not None]
    for record in failed[:_FAILED_SHOWN]:
        first = record.first_failure
        assert first is not None
        got = f"got {quoted(first.got)}" if first.got else "the answer ended"
        prompt = visible(question(prompts[record.id]), LONGEST_LINE)
        screen.paragraph(f"{prompt}  token {first.position + 1}: expected {quoted(first.expected)}, {got}", indent=2)
    if (num_more := len(failed) - _FAILED_SHOWN) > 0:
        screen.paragraph(f"and {num_more:,} more", indent=2)


def _plain(exported: Exported) -> dict[str, Any]:
    """What ``--json`` says of what was written and checked."""
    engine = exported.engine_certificate
    return {
        "files": list(exported.files),
        "is_exact": exported.is_exact if exported.certificate or engine else None,
        "certificate": None if exported.certificate is None else counts(exported.certificate),
        "engine": None
        if engine is None
        else {
            **engine.numerics.model_dump(),
            "num_records": engine.num_records,
            "num_exact": engine.num_exact,
            "num_exact_in_chat": engine.num_exact_in_chat,
            "min_logit_margin": engine.min_logit_margin,
        },
    }
