import pytest
from hypothesis import given
from hypothesis import strategies as st

from byheart.cli.spans import Span, spans


def test_tokens_that_share_a_character():
    assert spans(["n", "\ufffd", "\ufffd", "ve ", "\ufffd", "\ufffd", "\ufffd"], "naïve 日"[0] + "ïve 日") == [
        Span("n", (0,)),
        Span("ï", (1, 2)),
        Span("ve ", (3,)),
        Span("日", (4, 5, 6)),
    ]


def test_tokens_without_their_spaces():
    assert spans(["The", "quick", "fox"], "The quick fox") == [
        Span("The", (0,)),
        Span(" quick", (1,)),
        Span(" fox", (2,)),
    ]


@pytest.mark.parametrize(
    ("tokens", "answer"),
    [(["a", "b"], "acb"), (["a", "x"], "ab"), (["a"], "ab"), (["b", "a"], "ab"), ([], "ab")],
)
def test_tokens_that_do_not_spell_the_answer_show_as_they_are(tokens, answer):
    assert [span.text for span in spans(tokens, answer)] == tokens


@given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=4), min_size=1, max_size=8))
def test_pieces_add_up_and_no_token_is_lost(tokens):
    laid = spans(tokens, "".join(tokens))
    assert "".join(span.text for span in laid) == "".join(tokens)
    assert [position for span in laid for position in span.positions] == list(range(len(tokens)))
