"""How the long texts of a sweep are named."""

import doctest

from byheart.sweep import texts
from byheart.sweep.texts import texts_of


def test_what_is_both_of_a_file_and_random_says_both():
    assert texts_of({"random_ratio": 0.5, "source": "x/novel.txt"}).name == "novel, 50 % random"


def test_the_examples_in_the_module():
    assert doctest.testmod(texts).failed == 0
