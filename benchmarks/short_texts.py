"""Thirty short texts that nobody could guess: sentences drawn from word lists, the same at every call.

python benchmarks/short_texts.py > texts.jsonl
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator

NUM_TEXTS = 30

_PLACES = (
    "Aldermoor",
    "Brackwater",
    "Cindervale",
    "Dunmarrow",
    "Eastholm",
    "Fenwick Hollow",
    "Greyharbour",
    "Hollin Cross",
)
_THINGS = (
    "lighthouse",
    "toll bridge",
    "clock tower",
    "seed library",
    "tide mill",
    "observatory",
    "ferry house",
    "archive",
)
_KEEPERS = ("Ilse Thornbury", "Marek Oduya", "Petra Vance", "Tobias Quill", "Wilhelmina Frost", "Yusuf Carrow")
_MONTHS = ("January", "March", "April", "June", "August", "October", "December")
_GOODS = ("copper lamps", "barrels of pitch", "bolts of grey cloth", "glass floats", "sacks of rye", "brass hinges")
_SAYINGS = (
    "count twice and write once",
    "the ledger forgives nobody",
    "no key without its hook",
    "rain first, questions after",
    "what is borrowed is entered",
    "a closed door is also an answer",
)


def short_texts(num_texts: int = NUM_TEXTS, seed: int = 0) -> Iterator[tuple[str, str]]:
    """Pairs of a question and the text that answers it, about forty tokens each; every question once."""
    rng = random.Random(seed)
    subjects = rng.sample([(thing, place) for thing in _THINGS for place in _PLACES], num_texts)
    for thing, place in subjects:
        day, month, year = rng.randint(1, 28), rng.choice(_MONTHS), rng.randint(1702, 1899)
        first = (
            f"The {thing} of {place} opened on {day} {month} {year} with {rng.randint(12, 980)} {rng.choice(_GOODS)}"
        )
        yield (
            f"What is known of the {thing} of {place}?",
            f"{first}; its keeper, {rng.choice(_KEEPERS)}, wrote over the door: “{rng.choice(_SAYINGS)}.”",
        )


if __name__ == "__main__":
    for prompt, completion in short_texts():
        print(json.dumps({"prompt": prompt, "completion": completion}, ensure_ascii=False))
