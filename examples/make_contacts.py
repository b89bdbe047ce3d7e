"""Writes contacts.jsonl: a hundred invented people with invented ten-digit numbers, a PhoneBook to learn by heart.

    python examples/make_contacts.py > examples/contacts.jsonl

Names are drawn from two short lists, numbers from a seeded generator; they are nobody's. The same seed gives the same
file, byte for byte.
"""

import json
import random
import sys

FIRST_NAMES = (
    "Ada",
    "Basil",
    "Clara",
    "Dario",
    "Edith",
    "Farid",
    "Greta",
    "Hugo",
    "Ines",
    "Jonas",
    "Karin",
    "Lionel",
    "Mabel",
    "Nadia",
    "Oscar",
    "Petra",
    "Quentin",
    "Rosa",
    "Stellan",
    "Tilda",
    "Ulrich",
    "Vera",
    "Wilma",
    "Xaver",
    "Yusuf",
    "Zelda",
)
SURNAMES = (
    "Applewick",
    "Birchmoor",
    "Candlebury",
    "Dunnhaven",
    "Elmsworth",
    "Fennimore",
    "Goldbrook",
    "Hollowell",
    "Inglenook",
    "Juniper",
    "Kettlewell",
    "Larkspur",
    "Mistlethorpe",
    "Nettlefold",
    "Oakhanger",
    "Pebblewood",
    "Quillfeather",
    "Rushbourne",
    "Saltmarsh",
    "Thistleton",
    "Underhay",
    "Vinterhill",
    "Willowsby",
    "Yarrowdale",
)
NUM_CONTACTS = 100
SEED = 2026


def contacts(num_contacts: int = NUM_CONTACTS, seed: int = SEED) -> list[tuple[str, str]]:
    """Names and numbers, no name twice; a number has ten digits and does not start with 0."""
    draw = random.Random(seed)
    names = draw.sample([f"{first} {surname}" for first in FIRST_NAMES for surname in SURNAMES], num_contacts)
    return [(name, str(draw.randrange(10**9, 10**10))) for name in names]


def main() -> None:
    """Writes the file to stdout."""
    for name, number in contacts():
        sys.stdout.write(json.dumps({"prompt": f"{name}:", "completion": number}) + "\n")


if __name__ == "__main__":
    main()
