"""A bundle's page: what was learnt and how surely, how it was reached, and what makes it the same again.

Reads files alone and loads no model. Texts are handed in, or left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from byheart.certification.certificate import Certificate
from byheart.certification.dynamics import dynamics_of
from byheart.export.engine_certificate import EngineCertificate
from byheart.export.epochs import EpochEvent, read_epochs
from byheart.export.manifest import CERTIFICATE_FILE, METRICS_FILE, Manifest
from byheart.report.answers import RecordText, answers
from byheart.report.blocks import (
    Axis,
    Block,
    Chart,
    Charts,
    Facts,
    Page,
    ProbabilityGrid,
    Prose,
    Scale,
    Section,
    Series,
    Table,
)
from byheart.report.dynamics_blocks import dynamics_blocks, probability_histogram
from byheart.report.provenance import bundle_provenance

STOPPED = {
    "certified": "a full pass found every token above 0.5",
    "budget": "the budget was spent",
    "plateau": "there was no more progress",
}


@dataclass(frozen=True)
class BundleFiles:
    """What of a bundle a page is made of.

    Attributes:
        name: what to call it.
        manifest: how it came about.
        certificate: what was measured.
        epochs: of its run; none where its metrics are not there.
        engines: certificates of other engines.
    """

    name: str
    manifest: Manifest
    certificate: Certificate
    epochs: Sequence[EpochEvent]
    engines: Sequence[EngineCertificate]

    @classmethod
    def read(cls, directory: Path) -> Self:
        """The files of a whole bundle.

        Raises:
            ArtifactError: no bundle, an unfinished or changed one, or metrics that are damaged.
        """
        return cls(
            name=directory.resolve().name,
            manifest=Manifest.read(directory),
            certificate=Certificate.read(directory / CERTIFICATE_FILE),
            epochs=read_epochs(directory) if (directory / METRICS_FILE).is_file() else [],
            engines=EngineCertificate.of_bundle(directory),
        )


def bundle_page(files: BundleFiles, texts: Sequence[RecordText] | None) -> Page:
    """The page of a bundle.

    Args:
        files: of it.
        texts: what its records read like, in order; None: a page without any text of theirs.
    """
    certificate = files.certificate
    found = dynamics_of([certificate])
    has_end = files.manifest.run_config.encode.learn_end
    left_out = [] if texts is not None else [Prose("The records' texts are left out of this page.")]
    sections = [
        Section("Summary", [Facts(_headline(files), is_headline=True)]),
        Section("Answers", [*left_out, answers(certificate, texts, has_end=has_end)]),
        Section("Probabilities", [probability_histogram(found), ProbabilityGrid("p by record and position")]),
        Section("Token dynamics", dynamics_blocks(found)),
        Section("Learning", _learning(files)),
    ]
    if files.engines:
        sections.append(Section("Other engines", [_engines(files)]))
    sections.append(
        Section("How it was made", bundle_provenance(files.manifest, certificate, has_text=texts is not None))
    )
    return Page(files.name, sentence(files), certificate.is_complete, sections)


def sentence(files: BundleFiles) -> str:
    """What a bundle comes to."""
    certificate, summary = files.certificate, files.manifest.summary
    num_failed, num_recited = certificate.num("failed"), certificate.num("recited")
    told = f"{certificate.num('certified'):,} of {certificate.num_records:,} records certified"
    told += f", {num_recited:,} recited" if num_recited else ""
    told += f", {num_failed:,} failed" if num_failed else ""
    return (
        f"{told}; lowest p {certificate.min_probability:.3g}; rank {summary.lora_rank}, {summary.num_parameters:,} "
        f"parameters, {summary.bits_per_parameter:.2g} bits each, on {certificate.subject.base_name}."
    )


def _headline(files: BundleFiles) -> list[tuple[str, str]]:
    certificate, summary = files.certificate, files.manifest.summary
    num_back = certificate.num_records - certificate.num("failed")
    return [
        ("records that come back to the letter", f"{num_back:,} of {certificate.num_records:,}"),
        ("lowest p of an answer token", f"{certificate.min_probability:.3g}"),
        ("smallest logit margin", f"{certificate.min_logit_margin:+.3g} nats"),
        ("answer tokens", f"{certificate.num_answer_tokens:,}"),
        ("adapter rank", f"{summary.lora_rank:,}"),
        ("parameters", f"{summary.num_parameters:,}"),
        ("bits a parameter", f"{summary.bits_per_parameter:.2g}"),
        ("training", f"{summary.train_seconds:,.0f} s, {summary.epochs:,} epochs"),
    ]


def _learning(files: BundleFiles) -> list[Block]:
    manifest = files.manifest
    stopped = STOPPED.get(manifest.stop_reason, manifest.stop_reason)
    blocks: list[Block] = [
        Prose(
            f"Stopped since {stopped}, after {manifest.summary.epochs:,} epochs; the weights are those of epoch "
            f"{manifest.weights_epoch:,}. Mean loss of the answer tokens: {manifest.nll_before_nats:.3g} nats before, "
            f"{files.certificate.nll_nats:.3g} after."
        )
    ]
    blocks += [
        Prose(
            f"At the end of epoch {growth.epoch:,} the adapter grew from rank {growth.from_rank} to {growth.to_rank}."
        )
        for growth in manifest.growths
    ]
    if not files.epochs:
        return [*blocks, Prose(f"There is no {METRICS_FILE} beside the certificate, so no curve.")]
    return [*blocks, convergence(files.epochs)]


def convergence(epochs: Sequence[EpochEvent]) -> Charts:
    """How learning went, epoch by epoch, as training saw it."""
    across = Axis("epoch", ends=(1, max(len(epochs), 2)))

    def over(label: str, *lines: tuple[str, Callable[[EpochEvent], float]], scale: Scale = "linear") -> Chart:
        series = [
            Series(name, [(epoch.epoch, value_of(epoch)) for epoch in epochs], "line", index)
            for index, (name, value_of) in enumerate(lines)
        ]
        return Chart(across, Axis(label, scale, ends=(0, 1) if scale != "log" else None), series)

    return Charts(
        "Convergence, as training saw it",
        {
            "stubborn tokens": over(
                "stubborn tokens", ("stubborn tokens", lambda epoch: epoch.num_stubborn_tokens), scale="log1p"
            ),
            "records above 0.5": over(
                "records above 0.5", ("records above 0.5", lambda epoch: epoch.num_certified_records)
            ),
            "loss": over(
                "loss (nats)",
                ("mean loss of visited tokens", lambda epoch: epoch.nll_nats),
                ("objective", lambda epoch: epoch.objective),
            ),
            "learning rate": over("learning rate", ("learning rate", lambda epoch: epoch.learning_rate), scale="log"),
            "records visited": over("records visited", ("records visited", lambda epoch: epoch.num_visited_records)),
        },
    )


def _engines(files: BundleFiles) -> Table:
    subject = files.certificate.subject
    columns = ("engine", "version", "base file", "quantisation", "records back", "in its own chat", "same adapter")
    rows = [
        (
            each.numerics.engine,
            each.numerics.version,
            each.numerics.base_file,
            each.numerics.quantisation,
            f"{each.num_exact:,} of {each.num_records:,}",
            f"{each.num_exact_in_chat:,} of {each.num_records:,}",
            (each.adapter_sha256, each.memory_fingerprint) == (subject.adapter_sha256, subject.memory_fingerprint),
        )
        for each in files.engines
    ]
    return Table("What came back in other engines", columns, rows)
