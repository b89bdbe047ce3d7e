"""What is known of a bundle in other engines, in a few lines: what came back there, and what should."""

from __future__ import annotations

from collections.abc import Sequence

from byheart.certification.certificate import Certificate
from byheart.certification.noise import noise_table, num_robust
from byheart.cli.wording import counted
from byheart.export.engine_certificate import EngineCertificate


def verdict_in_engine(certificate: EngineCertificate) -> str:
    """An engine's certificate in a sentence."""
    numerics, margin = certificate.numerics, certificate.min_logit_margin
    come = "comes" if certificate.num_exact == 1 else "come"
    back = f"{certificate.num_exact:,} of {counted(certificate.num_records, 'record')} {come} back to the letter"
    where = f"in {numerics.engine} on {numerics.quantisation} ({numerics.base_file}, {numerics.version})"
    chat = f"{certificate.num_exact_in_chat:,} through its own chat template"
    least = f"; smallest margin {margin:+.3g} nats" if margin is not None else ""
    return f"{back} {where}, {chat}{least}"


def engine_rows(certificate: Certificate, engines: Sequence[EngineCertificate]) -> list[tuple[str, str]]:
    """Labelled rows: each engine's certificate, and how many records stand above which engine's measured noise.

    A certificate of an engine that ran another adapter or other records than ``certificate`` says so.
    """
    subject = certificate.subject
    rows: list[tuple[str, str]] = []
    for each in engines:
        is_same = (each.adapter_sha256, each.memory_fingerprint) == (subject.adapter_sha256, subject.memory_fingerprint)
        told = verdict_in_engine(each) if is_same else f"{each.file_name} is of another adapter or other records"
        rows.append(("engine", told))
    counts = [f"{num_robust(certificate.records, engine):,} in {engine}" for engine in noise_table().margin_loss_nats]
    rows.append(("robust", f"{', '.join(counts)}: records whose smallest margin is above the noise measured there"))
    return rows
