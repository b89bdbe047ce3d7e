"""One record of a certificate on the screen: its prompt, its answer coloured by p, its stubborn tokens by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.text import Text

from byheart.certification.certificate import RecordCertificate
from byheart.cli.screens import Screen
from byheart.cli.spans import Span, spans
from byheart.cli.summary import LONGEST_LINE, failure, quoted
from byheart.cli.visible import ELLIPSIS, END_OF_TURN, NEWLINE, visible, visible_parts
from byheart.cli.wording import counted, probability, question
from byheart.memory.record import Record
from byheart.method.config import CERTIFIED_PROBABILITY

SURE_PROBABILITY = 0.9
_TOKENS_SHOWN = 160
_STUBBORN_SHOWN = 6
_INDENT = 2
_WIDEST_COLUMN = 32


@dataclass(frozen=True, slots=True)
class Palette:
    """Styles of answer tokens by how sure the model is of them."""

    sure: str
    certain_enough: str
    stubborn: str
    wrong: str


COLOURS = Palette("color(28)", "color(130)", "bold underline color(160)", "bold reverse color(160)")
"""Middle tones, to be read on dark and light alike."""
GREYS = Palette("", "underline", "bold underline", "bold reverse")


def palette(screen: Screen) -> Palette:
    """Colours, or the scale that does without."""
    return GREYS if screen.no_color or screen.color_system is None else COLOURS


def style_of(p: float, token_rank: int, colours: Palette) -> str:
    """How a token looks."""
    if token_rank > 1:
        return colours.wrong
    if not p > CERTIFIED_PROBABILITY:
        return colours.stubborn
    return colours.sure if p > SURE_PROBABILITY else colours.certain_enough


def legend(colours: Palette, has_end: bool) -> Text:
    """What the looks mean, on one line."""
    text = Text()
    for style, words in (
        (colours.sure, f"p > {SURE_PROBABILITY}"),
        (colours.certain_enough, f"p > {CERTIFIED_PROBABILITY}"),
        (colours.stubborn, f"p ≤ {CERTIFIED_PROBABILITY}, stubborn"),
        (colours.wrong, "not the most probable"),
    ):
        text.append(words, style).append("   ")
    if has_end:
        text.append(f"{END_OF_TURN} end of turn", "dim")
    return text


def prompt_of(record: Record, *, in_full: bool) -> str:
    """A record's prompt as it is shown."""
    return visible(question(record.prompt), None if in_full else LONGEST_LINE)


def column_width(prompts: Iterable[str]) -> int:
    """Cells that the prompts of a list take side by side with their answers; longer ones stand above theirs."""
    return max((width for prompt in prompts if (width := cell_len(prompt)) <= _WIDEST_COLUMN), default=0)


def print_record(
    screen: Screen, record: RecordCertificate, learnt: Record, *, has_end: bool, in_full: bool, column: int = 0
) -> None:
    """Prints one record: prompt and answer side by side where both are short, else one above the other.

    Args:
        screen: where to.
        record: its certificate.
        learnt: its prompt and answer.
        has_end: whether its last token ends the turn.
        in_full: long ones too.
        column: cells kept for the prompt.
    """
    prompt = Text().append(prompt_of(learnt, in_full=in_full), "dim")
    pieces = spans(record.tokens[: len(record.tokens) - has_end], learnt.answer)
    answer = _answer(record, pieces, palette(screen), has_end=has_end, in_full=in_full)
    mark = {"failed": ("  failed", "bold red"), "recited": ("  recited", "bold")}.get(record.verdict)
    flag = Text().append(*mark) if mark else Text()
    needed = column + _INDENT + answer.cell_len + flag.cell_len
    if prompt.cell_len <= column and "\n" not in answer.plain and needed <= screen.width:
        screen.paragraph(prompt + Text(" " * (column - prompt.cell_len + _INDENT)) + answer + flag)
    else:
        screen.paragraph(prompt + flag)
        screen.paragraph(answer, indent=_INDENT)
    for line in _remarks(record, _names(record, pieces, has_end), in_full):
        screen.paragraph(line, indent=2 * _INDENT)


def _answer(
    record: RecordCertificate, pieces: Sequence[Span], colours: Palette, *, has_end: bool, in_full: bool
) -> Text:
    num_tokens = len(record.tokens) - has_end
    shown = pieces if in_full else [piece for piece in pieces if piece.positions[0] < _TOKENS_SHOWN]
    # Spaces and newlines are judged by their neighbours, which may belong to the next token.
    characters = iter(visible_parts("".join(piece.text for piece in pieces), newline=f"{NEWLINE}\n"))
    text = Text()
    for piece in shown:
        text.append("".join(next(characters) for _ in piece.text), _worst(record, piece, colours))
    if len(shown) < len(pieces):
        num_left = num_tokens - 1 - shown[-1].positions[-1]
        return text.append(f" {ELLIPSIS} {counted(num_left, 'token')} more (--all)", "dim")
    if has_end:
        text.append(END_OF_TURN, style_of(record.p[-1], record.token_rank[-1], colours))
    return text


def _worst(record: RecordCertificate, piece: Span, colours: Palette) -> str:
    worst = max(piece.positions, key=lambda i: (record.token_rank[i] > 1, -record.p[i]))
    return style_of(record.p[worst], record.token_rank[worst], colours)


def _remarks(record: RecordCertificate, names: Mapping[int, str], in_full: bool) -> list[Text]:
    """The first failure, and the stubborn tokens with what beat them or came next; of many, the worst."""
    remarks: list[Text] = []
    if record.first_failure is not None:
        remarks.append(Text(f"first differs at {failure(record)}", "red"))
    if record.is_contradicted:
        remarks.append(Text("every p is above 0.5, yet the free run differs: rounding outweighed a margin", "red"))
    stubborn = sorted(record.stubborn_positions, key=lambda i: (record.token_rank[i] == 1, record.p[i]))
    shown = stubborn if in_full else stubborn[:_STUBBORN_SHOWN]
    remarks += [_stubborn(record, i, names[i]) for i in sorted(shown)]
    if num_more := len(stubborn) - len(shown):
        remarks.append(Text(f"and {counted(num_more, 'stubborn token')} more (--all)", "dim"))
    return remarks


def _stubborn(record: RecordCertificate, i: int, name: str) -> Text:
    beaten = "beaten by" if record.token_rank[i] > 1 else "next"
    return Text(
        f"token {i + 1} {name}: p {probability(record.p[i])}, rank {record.token_rank[i]:,}, "
        f"margin {record.logit_margin[i]:+.3g}, {beaten} {quoted(record.rival[i])}"
    )


def _names(record: RecordCertificate, pieces: Sequence[Span], has_end: bool) -> dict[int, str]:
    """What to call each token."""
    names = {i: f"part of {quoted(piece.text)}" for piece in pieces for i in piece.positions}
    names |= {i: quoted(text) for i, text in enumerate(record.tokens) if "\ufffd" not in text}
    return names | ({len(record.tokens) - 1: f"{END_OF_TURN} end of turn"} if has_end else {})
