import math
import random
import zlib

import pytest

from byheart.memory.information import _arranged_bits, _counted_bits, _deflated_bits, _number_bits, compressed_bits


def numbers(count: int) -> list[str]:
    rng = random.Random(0)
    return ["".join(rng.choices("0123456789", k=10)) for _ in range(count)]


def test_random_digits_cost_little_more_than_their_entropy():
    entropy = 1000 * math.log2(10)
    assert entropy < compressed_bits(numbers(100)) < 1.04 * entropy


def test_what_repeats_costs_what_deflate_needs_and_the_ends():
    answers = ["the quick brown fox jumps over the lazy dog"] * 50
    deflated = _deflated_bits("".join(answers).encode())
    assert deflated < _counted_bits("".join(answers).encode())
    assert deflated < compressed_bits(answers) < deflated + 64


def test_deflate_is_raw_and_at_its_best():
    text = b"abracadabra" * 3
    assert _deflated_bits(text) == 8 * len(zlib.compress(text, 9, -15))


@pytest.mark.parametrize(("symbols", "num_texts"), [("aab", 3 * 2), ("abcd", 24 * 1), ("aaaa", 1), ("aabb", 6 * 3)])
def test_an_arrangement_costs_the_choice_among_all_of_its_orders_and_counts(symbols, num_texts):
    got = _arranged_bits(symbols.encode())
    assert math.log2(num_texts) <= got <= math.log2(num_texts) + 2  # each of the two choices is rounded up


def test_the_counts_tell_fewer_texts_apart_than_there_are_codes():
    """Kraft's inequality: all texts of four bytes of two kinds, which the table names, have a code of their own."""
    texts = [f"{number:04b}".encode() for number in range(16)]
    assert sum(2.0 ** -_arranged_bits(text) for text in texts if len(set(text)) == 2) <= 1


def test_a_table_of_more_letters_costs_more():
    assert _counted_bits(b"abcdefgh" * 8) > _counted_bits(b"abababab" * 8)


def test_where_answers_end_is_part_of_what_there_is_to_know():
    rng = random.Random(1)
    even = ["x" * 8] * 40
    uneven = ["x" * length for length in rng.sample([*range(1, 16)] * 3, 39)]
    uneven.append("x" * max(1, 320 - sum(map(len, uneven))))
    assert compressed_bits(uneven) > compressed_bits(even) + 40


@pytest.mark.parametrize("number", [0, 1, 2, 7, 8, 1000])
def test_a_number_has_eliass_code(number):
    assert _number_bits(number) == 2 * math.floor(math.log2(number + 1)) + 1


def test_no_answers_hold_next_to_nothing():
    assert compressed_bits([]) < 16
    assert compressed_bits([""]) < 24
