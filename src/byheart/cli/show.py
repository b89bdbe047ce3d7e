"""``byheart show``: what a bundle's certificate says, for a person to read. Reads files only; loads no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.text import Text

from byheart.certification.certificate import Certificate, RecordCertificate
from byheart.cli.engines import engine_rows
from byheart.cli.exits import code_of
from byheart.cli.passage import column_width, legend, palette, print_record, prompt_of
from byheart.cli.screens import Screen
from byheart.cli.summary import command, margin, numerics, print_verdict, verdict_counts
from byheart.cli.wording import clock, counted
from byheart.export.engine_certificate import EngineCertificate
from byheart.export.manifest import CERTIFICATE_FILE, Manifest, learnt_records

_RECORDS_SHOWN = 20
_HASH_DIGITS = 12


def show(directory: Path, *, show_all: bool, only_failed: bool) -> int:
    """Prints a bundle's certificate.

    Args:
        directory: of the bundle.
        show_all: every record, and long ones in full.
        only_failed: those that failed or have stubborn tokens, all of them.

    Returns:
        The exit code.
    """
    manifest = Manifest.read(directory)
    certificate = Certificate.read(directory / CERTIFICATE_FILE)
    learnt = {record.id: record for record in learnt_records(directory, certificate)}
    has_end = manifest.run_config.encode.learn_end
    screen = Screen()
    _print_head(screen, manifest, certificate, EngineCertificate.of_bundle(directory))
    chosen = _chosen(certificate, only_failed)
    shown = chosen if show_all or only_failed else chosen[:_RECORDS_SHOWN]
    column = column_width(prompt_of(learnt[record.id], in_full=show_all) for record in shown)
    for record in shown:
        print_record(screen, record, learnt[record.id], has_end=has_end, in_full=show_all, column=column)
    if only_failed and not chosen:
        screen.paragraph("no record failed, and none has a stubborn token")
    if (num_more := len(chosen) - len(shown)) > 0:
        screen.paragraph(Text(f"and {num_more:,} more: {command('show', directory, '--all')}", "dim"))
    screen.paragraph()
    screen.paragraph(legend(palette(screen), has_end))
    return code_of(certificate)


def _print_head(screen: Screen, manifest: Manifest, certificate: Certificate, engines: list[EngineCertificate]) -> None:
    print_verdict(screen, certificate)
    subject, summary = certificate.subject, manifest.summary
    source = subject.base_weights_sha256 or subject.base_revision
    origin = f", {'weights' if subject.base_weights_sha256 else 'revision'} {source[:_HASH_DIGITS]}" if source else ""
    screen.rows(
        [
            ("model", f"{subject.base_name} ({subject.base_architecture}{origin})"),
            ("adapter", f"{placed(manifest.placement)}, hash {subject.adapter_sha256[:_HASH_DIGITS]}"),
            ("size", f"{summary.num_parameters:,} parameters, {summary.bits_per_parameter:.2g} bits each"),
            *numerics(certificate),
            ("margin", margin(certificate)),
            *engine_rows(certificate, engines),
            (
                "learning",
                f"{manifest.run_config.method.name}, {counted(summary.epochs, 'epoch')} in "
                f"{clock(summary.train_seconds)}",
            ),
            ("records", f"{verdict_counts(certificate)}; {counted(certificate.num_answer_tokens, 'answer token')}"),
        ]
    )
    screen.paragraph()


def placed(placement: dict[str, Any]) -> str:
    """Where an adapter sits, from its placement's plain values."""
    names = dict.fromkeys(site["path"].rsplit(".", 1)[-1].removesuffix("_proj") for site in placement["sites"])
    layers = f"layer{'' if len(placement['layers']) == 1 else 's'} {ranges(placement['layers'])}"
    around = "around " if placement["is_bypass"] else ""
    return f"rank {placement['lora_rank']} in {layers} ({around}{', '.join(names)})"


def ranges(numbers: list[int]) -> str:
    """Rising numbers, neighbours drawn together.

    >>> ranges([3, 27, 28, 29])
    '3, 27–29'
    """
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1] = [parts[-1][0], number]
        else:
            parts.append([number])
    return ", ".join("–".join(map(str, part)) for part in parts)


def _chosen(certificate: Certificate, only_failed: bool) -> list[RecordCertificate]:
    """Failed ones first, then those with stubborn tokens, then the rest; within each as in the memory."""

    def trouble(record: RecordCertificate) -> int:
        return 2 if record.verdict == "failed" else int(record.verdict == "recited")

    chosen = sorted(certificate.records, key=trouble, reverse=True)
    return [record for record in chosen if trouble(record)] if only_failed else chosen
