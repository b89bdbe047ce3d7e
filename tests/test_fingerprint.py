import hashlib
import json
import math
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import BaseModel

from byheart.fingerprint import canonical_json, file_sha256, fingerprint

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=5)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=8,
)


class Setting(BaseModel):
    rank: int = 8
    rate: float = 0.1


def shuffled(value: Any, rng: random.Random) -> Any:
    if isinstance(value, dict):
        items = [(key, shuffled(item, rng)) for key, item in value.items()]
        rng.shuffle(items)
        return dict(items)
    return [shuffled(item, rng) for item in value] if isinstance(value, list) else value


@given(VALUES, st.randoms(use_true_random=False))
def test_the_order_of_keys_does_not_matter(value: Any, rng: random.Random) -> None:
    assert fingerprint(shuffled(value, rng)) == fingerprint(value)


@given(VALUES, VALUES)
def test_different_values_differ(left: Any, right: Any) -> None:
    assume(repr(shuffled(left, random.Random(0))) != repr(shuffled(right, random.Random(0))))
    assume(left != right)
    assert fingerprint(left) != fingerprint(right)


@pytest.mark.parametrize(
    ("left", "right"),
    [(1, "1"), (1, True), (0, False), (None, "null"), ([], {}), ([1, 2], [2, 1]), ("é", "e\u0301"), ({"a": None}, {})],
)
def test_values_that_only_look_alike_differ(left: Any, right: Any) -> None:
    assert fingerprint(left) != fingerprint(right)


@given(VALUES)
def test_canonical_json_reads_back_as_the_value(value: Any) -> None:
    assert json.loads(canonical_json(value)) == value


def test_the_form_is_fixed_for_good() -> None:
    assert canonical_json({"b": (1, 0.1), "a": "ℓ"}) == '{"a":"ℓ","b":[1,0.1]}'
    assert fingerprint({}) == hashlib.sha256(b"{}").hexdigest()


def test_a_settings_record_is_the_mapping_it_stands_for() -> None:
    assert fingerprint({"of": Setting()}) == fingerprint({"of": {"rank": 8, "rate": 0.1}})
    assert fingerprint(Setting(rank=4)) != fingerprint(Setting())


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: [x], lambda x: {"a": x}, lambda x: Setting(rate=x)])
def test_nan_and_infinity_are_refused(number: float, wrap: Any) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        fingerprint(wrap(number))


@pytest.mark.parametrize("value", [{1, 2}, b"bytes", object(), Path("a"), {"deep": [object()]}])
def test_what_is_no_json_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="cannot fingerprint a"):
        fingerprint(value)


@pytest.mark.parametrize("value", [{1: "a"}, {None: "a"}, [{"deep": {True: 1}}], {"a": 1, 2: 1}])
def test_keys_that_are_no_text_are_refused_rather_than_mistaken_for_text(value: Any) -> None:
    with pytest.raises(TypeError, match="key"):
        fingerprint(value)


def test_text_that_is_no_unicode_has_a_fingerprint_too() -> None:
    assert fingerprint("\ud83d\ude00") != fingerprint("😀")


def test_a_fingerprint_holds_across_processes() -> None:
    value = {"b": [1, 2.5, "ℓ"], "a": None}
    code = f"from byheart.fingerprint import fingerprint; print(fingerprint({value!r}))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert printed == fingerprint(value)


@pytest.mark.parametrize("size", [0, 1, 3_000_000])
def test_a_file_has_the_sha256_of_its_bytes(tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * size)
    assert file_sha256(path) == hashlib.sha256(b"x" * size).hexdigest()
