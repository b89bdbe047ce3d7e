import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byheart.errors import (
    ArtifactError,
    BundleError,
    ByheartError,
    InterruptedRunError,
    ModelError,
    PlacementError,
    Problem,
    RecordsError,
    SettingsError,
    nearest,
    unknown,
)


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (SettingsError, ValueError),
        (ModelError, ValueError),
        (PlacementError, ModelError),
        (ArtifactError, OSError),
        (BundleError, ValueError),
        (InterruptedRunError, KeyboardInterrupt),
        (RecordsError, ValueError),
    ],
)
def test_every_error_is_ours_and_the_builtin_that_fits(error: type[ByheartError], builtin: type) -> None:
    assert issubclass(error, ByheartError)
    assert issubclass(error, builtin)


@pytest.mark.parametrize("error", [SettingsError, ArtifactError, BundleError, InterruptedRunError])
def test_an_error_shows_its_message_and_nothing_else(error: type[ByheartError]) -> None:
    assert str(error("what is wrong")) == "what is wrong"


def problems(number: int) -> list[Problem]:
    return [Problem(f"a.jsonl:{line}", "not JSON") for line in range(1, number + 1)]


def test_a_problem_says_where_first() -> None:
    assert str(Problem("a.jsonl:3", "not JSON")) == "a.jsonl:3: not JSON"


def test_all_problems_are_told_a_line_each() -> None:
    assert str(RecordsError(problems(2))) == "a.jsonl:1: not JSON\na.jsonl:2: not JSON"


def test_twenty_problems_are_told_in_full() -> None:
    assert len(str(RecordsError(problems(20))).splitlines()) == 20
    assert "more" not in str(RecordsError(problems(20)))


def test_past_twenty_problems_the_rest_is_counted() -> None:
    lines = str(RecordsError(problems(23))).splitlines()
    assert len(lines) == 21
    assert lines[-1] == "… and 3 more"


def test_problems_that_are_not_told_are_kept() -> None:
    assert len(RecordsError(iter(problems(23))).problems) == 23


def test_a_records_error_crosses_processes_whole() -> None:
    error = RecordsError(problems(23))
    copy = pickle.loads(pickle.dumps(error))
    assert str(copy) == str(error)
    assert copy.problems == error.problems


@given(st.text(min_size=3, max_size=20), st.integers(0, 100))
def test_a_name_with_one_letter_doubled_is_nearest_to_itself(name: str, place: int) -> None:
    place %= len(name)
    assert nearest(name[:place] + name[place] + name[place:], [name]) == name


def test_nothing_is_nearest_to_a_name_unlike_all() -> None:
    assert nearest("zzz", ["sft", "memft-ot"]) is None


def test_the_nearer_of_two_names_is_taken() -> None:
    assert nearest("memft-sw-curriculm", ["memft-sw", "memft-sw-curriculum"]) == "memft-sw-curriculum"


def test_an_unknown_name_is_told_with_its_neighbour_and_the_allowed_set() -> None:
    message = unknown("method", "memft-to", iter(["sft", "memft-ot"]))
    assert message == "unknown method 'memft-to' (did you mean 'memft-ot'?); allowed: sft, memft-ot"


def test_an_unknown_name_without_a_neighbour_gets_no_guess() -> None:
    assert unknown("method", "zzz", ["sft"]) == "unknown method 'zzz'; allowed: sft"
