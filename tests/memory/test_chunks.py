import pytest
from hypothesis import given
from hypothesis import strategies as st

from byheart.memory.chunks import count_pieces, cut

texts = st.text(alphabet=st.sampled_from("ab. \n\r\t,!?é兔。😀\u0301") | st.characters(exclude_categories=["Cs"]))


@given(texts, st.integers(1, 12))
def test_pieces_join_back_to_the_letter(text, chunk_tokens):
    assert "".join(cut(text, chunk_tokens)) == text


@given(texts, st.integers(1, 12))
def test_pieces_are_neither_empty_nor_too_long(text, chunk_tokens):
    for piece in cut(text, chunk_tokens):
        assert piece
        assert count_pieces(piece) <= chunk_tokens


@given(texts, st.integers(1, 12))
def test_a_counter_that_falls_as_text_grows_loses_nothing(text, chunk_tokens):
    def fickle(piece: str) -> int:
        return (len(piece) * 7919) % 23

    assert "".join(cut(text, chunk_tokens, fickle)) == text


@pytest.mark.parametrize(
    ("text", "chunk_tokens", "pieces"),
    [
        ("One two.\nThree.\n\nFour five six seven.", 10, ["One two.\nThree.\n\n", "Four five six seven."]),
        ("One two three. Four five six.", 6, ["One two three.", " Four five six."]),
        ('He said "no!" Then he went home.', 7, ['He said "no!"', " Then he went home."]),
        ("- one two\n- three four\n", 5, ["- one two\n", "- three four\n"]),
        ("one two three four", 3, ["one two three", " four"]),
        ("One two.\r\nThree four.\r\n", 6, ["One two.\r\n", "Three four.\r\n"]),
        ("你好。再见。", 4, ["你好。", "再见。"]),
        ("abcdefghijklm", 1, ["abcdef", "ghijkl", "m"]),
        ("", 5, []),
    ],
)
def test_cuts_fall_where_the_text_pauses(text, chunk_tokens, pieces):
    assert list(cut(text, chunk_tokens)) == pieces


def test_a_token_counter_decides_how_much_fits():
    assert list(cut("one two three", 5, len)) == ["one", " two", " thre", "e"]


def test_a_character_with_too_many_tokens_is_a_piece_all_the_same():
    assert list(cut("ab", 1, lambda text: 3 * len(text))) == ["a", "b"]


def test_counting_stays_near_the_length_of_a_piece():
    counted: list[int] = []

    def count(piece: str) -> int:
        counted.append(len(piece))
        return count_pieces(piece)

    text = "The quick brown fox jumps over the lazy dog. " * 2_000
    num_pieces = len(list(cut(text, 64, count)))
    assert len(counted) < 16 * num_pieces
    assert max(counted) < 1_000
