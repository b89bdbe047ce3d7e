"""``byheart certify``: a bundle measured anew, or an adapter that byheart did not make; on this machine, now."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from byheart.artifacts import read_json
from byheart.certification.certificate import KIND, SCHEMA_VERSION
from byheart.cli.bundles import open_bundle
from byheart.cli.counting import counter
from byheart.cli.exits import code_of
from byheart.cli.live import Narrator, narrating
from byheart.cli.screens import Screen, print_json, screens
from byheart.cli.summary import LONGEST_LINE, counts, numerics, print_failures, print_verdict, verdict_counts
from byheart.cli.visible import visible
from byheart.cli.wording import counted, question
from byheart.errors import ArtifactError, BundleError, SettingsError
from byheart.export.foreign import ForeignAdapter, is_foreign
from byheart.export.manifest import CERTIFICATE_FILE, Manifest
from byheart.memory.records import Memory
from byheart.model.config import ModelConfig

if TYPE_CHECKING:
    from byheart.certification.certificate import Certificate

_CHANGES_SHOWN = 10


@dataclass(frozen=True, slots=True)
class _Measured:
    """What was measured, on which records; and the certificate there was before, of the same records."""

    memory: Memory
    certificate: Certificate
    before: Certificate | None


def certify(
    directory: Path,
    records: Path | None,
    *,
    out: Path | None,
    model: str | None,
    as_json: bool,
    config: Path | None = None,
) -> int:
    """Measures a bundle, or an adapter that byheart did not make; what is on disk stays as it is.

    Returns:
        The exit code.
    """
    _refuse_own_files(directory, out)
    with screens(as_json) as (results, progress):
        with narrating(progress) as narrator:
            if is_foreign(directory):
                measured = _foreign(ForeignAdapter.read(directory, config, model), records, narrator)
            elif config is not None:
                raise SettingsError("--config is for adapters that byheart did not make; a bundle has its own settings")
            else:
                measured = _bundle(directory, records, model, narrator)
        certificate = measured.certificate
        changed = _changed(measured.before, certificate) if measured.before else []
        results.paragraph()
        print_verdict(results, certificate)
        rows = [("records", verdict_counts(certificate)), *numerics(certificate)]
        results.rows([*rows, ("before", _compared(len(changed)))] if measured.before else rows)
        results.paragraph()
        print_failures(results, certificate, measured.memory)
        if changed:
            _print_changed(results, changed, measured.memory)
        if out is not None:
            certificate.save(out)
            results.paragraph(f"certificate written to {visible(str(out))}")
    if as_json:
        print_json({**counts(certificate), "model": certificate.subject.base_name, "bundle": str(directory)})
    return code_of(certificate)


def _bundle(directory: Path, records: Path | None, model: str | None, narrator: Narrator) -> _Measured:
    manifest = Manifest.read(directory)
    memory = _records(records, manifest, model, narrator)
    bundle = open_bundle(directory, manifest, model, narrator)
    measured = memory or bundle.memory
    with narrator.phase("certifying", 2 * len(measured)) as advance:
        certificate = bundle.certify(memory, advance)
    return _Measured(measured, certificate, bundle.certificate if memory is None else None)


def _foreign(adapter: ForeignAdapter, records: Path | None, narrator: Narrator) -> _Measured:
    if records is None:
        raise BundleError(
            f"{adapter.directory} was not made by byheart and says nothing of what it was taught; give its records: "
            f"byheart certify {adapter.directory} RECORDS"
        )
    count_tokens = counter(lambda: adapter.config.model, narrator)
    memory = Memory.from_file(records, count_tokens=count_tokens, **adapter.config.format.model_dump())
    narrator.begin(f"loading {adapter.config.model.name}")
    from byheart.model.base import load

    base = load(adapter.config.model, narrator.say)
    with narrator.phase("certifying", 2 * len(memory)) as advance:
        return _Measured(memory, adapter.certify(memory, base, advance), None)


def _records(path: Path | None, manifest: Manifest, model: str | None, narrator: Narrator) -> Memory | None:
    """Other records than the bundle's own, read as those were."""
    if path is None:
        return None

    def base() -> ModelConfig:
        from byheart.export.base import base_config

        return base_config(manifest, model)

    count_tokens = counter(base, narrator)
    return Memory.from_file(path, count_tokens=count_tokens, **manifest.run_config.format.model_dump())


def _refuse_own_files(directory: Path, out: Path | None) -> None:
    if out is None:
        return
    if out.resolve().parent == directory.resolve():
        raise ArtifactError(
            f"--out {out} lies in the bundle itself, which keeps the {CERTIFICATE_FILE} it was learnt with; "
            "choose another place"
        )
    if out.exists():
        try:
            read_json(out, KIND, SCHEMA_VERSION)
        except ArtifactError as error:
            raise ArtifactError(f"--out: {error}; it is left as it is: choose another place") from error


def _changed(before: Certificate, now: Certificate) -> list[tuple[str, str, str]]:
    """Id and both verdicts of the records whose verdict is another now."""
    pairs = zip(before.records, now.records, strict=True)
    return [(then.id, then.verdict, record.verdict) for then, record in pairs if then.verdict != record.verdict]


def _compared(num_changed: int) -> str:
    if not num_changed:
        return "every record has the verdict it had when it was learnt"
    return f"{counted(num_changed, 'record')} had another verdict when learnt"


def _print_changed(screen: Screen, changed: list[tuple[str, str, str]], memory: Memory) -> None:
    prompts = {record.id: record.prompt for record in memory}
    for record_id, then, now in changed[:_CHANGES_SHOWN]:
        screen.paragraph(f"{visible(question(prompts[record_id]), LONGEST_LINE)}  {then} then, {now} now", indent=2)
    if (num_more := len(changed) - _CHANGES_SHOWN) > 0:
        screen.paragraph(f"and {num_more:,} more", indent=2)
    screen.paragraph()
