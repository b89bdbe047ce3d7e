import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byheart.cli.visible import neutral, visible, visible_parts
from byheart.cli.wording import clock, counted, probability, question
from byheart.memory.record import Message


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain words", "plain words"),
        (" a  b ", "·a··b·"),
        ("a \n b", "a·␤·b"),
        ("\t\r\x7f\x00\x1b", "⇥␍␡␀␛"),
        ("\u202ea\u200bb\ufeff", "⟨U+202E⟩a⟨U+200B⟩b⟨U+FEFF⟩"),
        ("1\u00a0000", "1⍽000"),
        ("é e\u0301 👩\u200d🚀 日本", "é e\u0301 👩\u200d🚀 日本"),
        ("\ud800", "⟨U+D800⟩"),
        ("", ""),
    ],
)
def test_every_character_is_seen(text, shown):
    assert visible(text) == shown


def test_long_text_is_cut():
    assert visible("abcdef", 4) == "abc…"
    assert visible("abcd", 4) == "abcd"


@given(st.text())
def test_nothing_that_steers_a_terminal_is_left(text):
    for shown in (visible(text), neutral(text)):
        steering = {c for c in shown if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"}}
        assert steering <= {"\n", "\u200c", "\u200d"}
    assert "\n" not in visible(text)
    assert len(visible_parts(text)) == len(text)


def test_neutral_keeps_lines_and_spaces():
    assert neutral(" a\n  b\x1b[0m") == " a\n  b␛[0m"


@pytest.mark.parametrize(
    ("p", "told"),
    [
        (1.0, "1.00"),
        (0.583, "0.58"),
        (0.5, "0.50"),
        (0.502, "0.502"),
        (0.50000006, "0.5000001"),
        (0.4999, "0.50"),
        (0.00031, "0.00031"),
        (0.0, "0"),
    ],
)
def test_a_probability_stays_on_its_side_of_one_half(p, told):
    assert probability(p) == told
    assert (float(told) > 0.5) == (p > 0.5)


def test_numbers_and_names_as_people_read_them():
    assert (counted(1, "record"), counted(0, "record"), counted(1200, "record")) == (
        "1 record",
        "0 records",
        "1,200 records",
    )
    assert (clock(0), clock(59.6), clock(-3), clock(3661)) == ("0:00", "1:00", "0:00", "1:01:01")
    talk = (Message("system", "Be brief."), Message("user", "Who?"))
    assert question(talk) == "(after 1 turn) Who?"
    assert question("Who?") == "Who?"
