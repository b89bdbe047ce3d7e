"""A certificate in a few lines: the verdict in a sentence, the counts, what failed and where."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rich.panel import Panel
from rich.text import Text

from byheart.certification.certificate import Certificate, RecordCertificate
from byheart.cli.screens import Screen
from byheart.cli.visible import visible
from byheart.cli.wording import counted, probability, question
from byheart.memory.records import Memory
from byheart.method.config import CERTIFIED_PROBABILITY

COUNTING_KEYS = (
    "num_records",
    "num_answer_tokens",
    "exact_match",
    "num_certified",
    "num_recited",
    "num_failed",
    "token_accuracy",
    "nll_nats",
    "min_probability",
)
LONGEST_LINE = 160
_FAILED_SHOWN = 10


def counts(certificate: Certificate) -> dict[str, float]:
    """What ``--json`` says of a certificate, by `COUNTING_KEYS`."""
    values = {f"num_{verdict}": certificate.num(verdict) for verdict in ("certified", "recited", "failed")}
    return {key: values[key] if key in values else getattr(certificate, key) for key in COUNTING_KEYS}


def verdict(certificate: Certificate) -> str:
    """The outcome in one sentence."""
    num_failed = certificate.num("failed")
    come = "comes" if certificate.num_records - num_failed == 1 else "come"
    whole = counted(certificate.num_records, "record")
    back = f"{certificate.num_records - num_failed:,} of {whole} {come} back to the letter"
    if num_failed:
        return f"{back}; {num_failed:,} {'does' if num_failed == 1 else 'do'} not"
    lowest = f"(lowest {probability(certificate.min_probability)})"
    num_stubborn = sum(len(record.stubborn_positions) for record in certificate.records)
    if not num_stubborn:
        return f"{back}; every token above {CERTIFIED_PROBABILITY} {lowest}"
    return f"{back}, but {counted(num_stubborn, 'token')} at or below {CERTIFIED_PROBABILITY} {lowest}"


def print_verdict(screen: Screen, certificate: Certificate) -> None:
    """The sentence, framed on a terminal."""
    colour = "green" if certificate.is_complete else "red"
    if screen.is_terminal:
        screen.print(Panel(Text(verdict(certificate), style="bold"), border_style=colour, expand=False))
    else:
        screen.paragraph(verdict(certificate))


def verdict_counts(certificate: Certificate) -> str:
    """How many records have which verdict."""
    return (
        f"{certificate.num('certified'):,} certified, {certificate.num('recited'):,} recited, "
        f"{certificate.num('failed'):,} failed"
    )


def numerics(certificate: Certificate) -> list[tuple[str, str]]:
    """Under which numerics a certificate was measured, as labelled rows."""
    how = certificate.numerics
    where = f"{how.dtype} on {how.device} ({how.device_name}), {counted(how.num_threads, 'thread')}"
    return [
        ("numerics", f"{where}, {how.attention}, batches of {how.max_batch_tokens:,} tokens"),
        ("versions", ", ".join(f"{name} {version}" for name, version in how.versions.items())),
    ]


def margin(certificate: Certificate) -> str:
    """The smallest logit margin, and what that is."""
    smallest = f"{certificate.min_logit_margin:+.3g} nats at the least"
    return f"{smallest}: a token's logit less its closest rival's, which wins below 0"


def failure(record: RecordCertificate) -> str:
    """Where a record's free run left its answer."""
    first = record.first_failure
    if first is None:
        return ""
    got = f"got {quoted(first.got)}" if first.got else "the answer ended"
    return f"token {first.position + 1} of {len(record.tokens)}: expected {quoted(first.expected)}, {got}"


def print_failures(screen: Screen, certificate: Certificate, memory: Memory, more: str | None = None) -> None:
    """The failed records, the first few of them.

    Args:
        screen: where to.
        certificate: what was measured.
        memory: the records that were.
        more: the command that shows all; None where there is none.
    """
    failed = list(certificate.failures())
    if not failed:
        return
    prompts = {record.id: record.prompt for record in memory}
    screen.paragraph(Text("failed", style="bold red"))
    for record in failed[:_FAILED_SHOWN]:
        prompt = visible(question(prompts[record.id]), LONGEST_LINE)
        screen.paragraph(Text(f"{prompt}  ").append(failure(record), "red"), indent=2)
    if (num_more := len(failed) - _FAILED_SHOWN) > 0:
        screen.paragraph(f"and {num_more:,} more" + (f": {more}" if more else ""), indent=2)
    screen.paragraph()


@dataclass(frozen=True, slots=True)
class Recital:
    """A record asked for once more."""

    prompt: str
    answer: str
    said: str


def print_recitals(screen: Screen, recitals: Iterable[Recital]) -> None:
    """Prompts and what the model said, marked where that is not the answer."""
    for recital in recitals:
        text = Text().append(f"{visible(recital.prompt, LONGEST_LINE)} → ", "dim")
        text.append(visible(recital.said, LONGEST_LINE))
        if recital.said != recital.answer:
            text.append("  not the answer", "red")
        screen.paragraph(text, indent=2)


def quoted(token: str) -> str:
    """A token's text between quotation marks, every character of it to be seen."""
    return f'"{visible(token)}"'


def command(verb: str, directory: Path, *arguments: str) -> str:
    """A command line that can be copied into a shell."""
    return shlex.join(["byheart", verb, str(directory), *arguments])
