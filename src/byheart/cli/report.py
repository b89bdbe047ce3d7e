"""``byheart report``: a bundle, a sweep or a reproduction → one HTML file to look at. Reads files; loads no torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from byheart.artifacts import write_bytes
from byheart.cli.exits import COMPLETE
from byheart.cli.live import Narrator, narrating
from byheart.cli.screens import print_json, screens
from byheart.cli.spans import spans
from byheart.cli.visible import visible
from byheart.cli.wording import question
from byheart.errors import ArtifactError
from byheart.export.manifest import CHECKPOINT_FILE, MANIFEST_FILE, learnt_records
from byheart.memory.record import Record

if TYPE_CHECKING:
    from byheart.certification.certificate import RecordCertificate
    from byheart.report.answers import RecordText
    from byheart.report.blocks import Page

PAGE_FILE = "report.html"


def report(directory: Path, *, out: Path | None, with_text: bool, as_json: bool) -> int:
    """Writes the page.

    Args:
        directory: of a bundle, a sweep or a reproduction.
        out: the file; None: ``report.html`` in the directory.
        with_text: whether the page may hold the records' texts.
        as_json: see ``--json``.

    Returns:
        The exit code.
    """
    from byheart.report.html import LARGEST_BYTES, html

    kind = kind_of(directory)
    path = out or directory / PAGE_FILE
    refuse_other_file(path)
    with screens(as_json) as (results, progress):
        with narrating(progress) as narrator:
            if kind == "bundle":
                page = _bundle_page(directory, with_text=with_text)
            else:
                page = _sweep_page(directory, narrator) if kind == "sweep" else _reproduction_page(directory, narrator)
            content = html(page)
            write_bytes(path, content)
            if len(content) > LARGEST_BYTES:
                narrator.say(f"warning: the page has {_megabytes(len(content))}; browsers open it slowly")
        results.paragraph(visible(page.sentence))
        results.rows([("page", f"{path} ({_megabytes(len(content))})"), ("texts", _texts(kind, with_text))])
    if as_json:
        has_text = kind == "bundle" and with_text
        print_json({"report": str(path), "kind": kind, "num_bytes": len(content), "has_text": has_text})
    return COMPLETE


def _texts(kind: str, with_text: bool) -> str:
    if kind != "bundle":
        return f"none; a {kind}'s page shows numbers alone"
    return "the records' prompts and answers are in it: guard it as you guard them" if with_text else "left out"


def _megabytes(num_bytes: int) -> str:
    """A size in the unit that people compare pages by.

    >>> _megabytes(1_234_567)
    '1.23 MB'
    """
    return f"{num_bytes / 1e6:.2f} MB"


def kind_of(directory: Path) -> str:
    """What a directory holds: a bundle, a sweep or a reproduction.

    Raises:
        ArtifactError: none of them.
    """
    from byheart.report.reproduction_files import MARKER_FILE
    from byheart.sweep.results import TABLE_FILE

    if (directory / MANIFEST_FILE).is_file() or (directory / CHECKPOINT_FILE).is_file():
        return "bundle"
    if (directory / MARKER_FILE).is_file():
        return "reproduction"
    if (directory / TABLE_FILE).is_file():
        return "sweep"
    raise ArtifactError(
        f"{directory} is nothing to report on: it has neither {MANIFEST_FILE}, as a bundle of 'byheart learn' has, nor "
        f"{TABLE_FILE}, as a 'byheart sweep' has, nor {MARKER_FILE}, as a 'byheart reproduce' has that ran to its end"
    )


def refuse_other_file(path: Path) -> None:
    """Makes sure that nothing but an older page is written over.

    Raises:
        ArtifactError: something else is there.
    """
    from byheart.report.html import HEAD

    if path.is_dir():
        raise ArtifactError(f"{path} is a directory; --out takes a file")
    if path.exists():
        with path.open("rb") as file:
            if file.read(len(HEAD)) != HEAD.encode():
                raise ArtifactError(f"{path} exists and is no page of byheart's; choose another --out, or remove it")


def _bundle_page(directory: Path, *, with_text: bool) -> Page:
    from byheart.report.bundle_page import BundleFiles, bundle_page

    files = BundleFiles.read(directory)
    if not with_text:
        return bundle_page(files, None)
    memory = learnt_records(directory, files.certificate)
    has_end = files.manifest.run_config.encode.learn_end
    pairs = zip(files.certificate.records, memory, strict=True)
    return bundle_page(files, [text_of(*pair, has_end=has_end) for pair in pairs])


def text_of(certificate: RecordCertificate, record: Record, *, has_end: bool) -> RecordText:
    """A record's text, its answer in the pieces that its tokens spell."""
    from byheart.report.answers import RecordText

    pieces = spans(certificate.tokens[: len(certificate.tokens) - has_end], record.answer)
    return RecordText(question(record.prompt), [(piece.text, piece.positions) for piece in pieces])


def _sweep_page(directory: Path, narrator: Narrator) -> Page:
    from byheart.report.sweep_files import SweepFiles
    from byheart.report.sweep_page import sweep_page

    with narrator.phase("reading cells", _num_cells(directory)) as advance:
        return sweep_page(SweepFiles.read(directory, advance))


def _reproduction_page(directory: Path, narrator: Narrator) -> Page:
    from byheart.report.reproduction_files import SWEEP, ReproductionFiles
    from byheart.report.reproduction_page import reproduction_page

    with narrator.phase("reading cells", _num_cells(directory / SWEEP)) as advance:
        return reproduction_page(ReproductionFiles.read(directory, advance))


def _num_cells(sweep: Path) -> int:
    from byheart.sweep.results import CELLS

    return max(sum(1 for _ in (sweep / CELLS).iterdir()) if (sweep / CELLS).is_dir() else 0, 1)
