"""A certificate's records as the page shows them, token by token, with their texts or without.

Probabilities are rounded to five digits where that keeps them on their side of one half, and are whole where it does
not. Without texts nothing of a record goes into a page but numbers: no prompt, answer, token or rival, and no id, which
may be a text too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from byheart.certification.certificate import Certificate, RecordCertificate
from byheart.report.blocks import TokenAnswers

HALF = 0.5


@dataclass(frozen=True, slots=True)
class RecordText:
    """What a record reads like.

    Attributes:
        prompt: as one text.
        pieces: of the answer, in order, each with the positions of the tokens that spell it; they add up to the answer.
    """

    prompt: str
    pieces: Sequence[tuple[str, Sequence[int]]]


def answers(certificate: Certificate, texts: Sequence[RecordText] | None, *, has_end: bool) -> TokenAnswers:
    """All records of a certificate.

    Args:
        certificate: what was measured.
        texts: one a record, in order; None: numbers alone.
        has_end: whether the last token of each record ends the turn.
    """
    if texts is None:
        return TokenAnswers(None, [_numbers(record, has_end=has_end) for record in certificate.records])
    known: dict[str, int] = {}
    records = [
        {**_numbers(record, has_end=has_end), **_texts(record, text, known)}
        for record, text in zip(certificate.records, texts, strict=True)
    ]
    return TokenAnswers(list(known), records)


def _numbers(record: RecordCertificate, *, has_end: bool) -> dict[str, object]:
    failure = record.first_failure
    return {
        "verdict": record.verdict,
        "p": [rounded(p) for p in record.p],
        "margin": [float(f"{margin:.4g}") for margin in record.logit_margin],
        "rank": record.token_rank,
        "failure": None if failure is None else failure.position,
        "has_end": has_end,
    }


def _texts(record: RecordCertificate, text: RecordText, known: dict[str, int]) -> dict[str, object]:
    def index(string: str) -> int:
        return known.setdefault(string, len(known))

    failure = record.first_failure
    return {
        "prompt": text.prompt,
        "pieces": [[piece, positions] for piece, positions in text.pieces],
        "tokens": [index(token) for token in record.tokens],
        "rivals": [index(rival) for rival in record.rival],
        "got": None if failure is None else failure.got,
    }


def rounded(p: float) -> float:
    """A probability with five digits, or with all it has where five would take it to the other side of one half.

    >>> rounded(0.69464660), rounded(0.50000012)
    (0.69465, 0.50000012)
    """
    short = float(f"{p:.5g}")
    return short if (short > HALF) == (p > HALF) else p
