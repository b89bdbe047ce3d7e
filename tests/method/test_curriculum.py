from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from byheart.errors import SettingsError
from byheart.method.config import MethodConfig
from byheart.method.curriculum import PAPER_RATIOS, GrowingPrefix
from byheart.method.schedule import Standing
from oracles.weightings import curriculum_counts

PAPER_AT_1K = GrowingPrefix((20, 40, 60, 80, 300), batch_size=10)

STAGES = st.lists(st.tuples(st.integers(1, 100), st.integers(0, 12)), max_size=5).map(
    lambda drawn: (
        [*sorted(percent / 100 for percent, _ in drawn), 1.0],
        [*sorted(boundary for _, boundary in drawn), 13],
    )
)
"""Ratios and boundaries, neither falling, that end with all records."""


def shown(schedule: GrowingPrefix, num_records: int, num_epochs: int, seed: int = 42) -> list[list[int]]:
    return [schedule(epoch, Standing.unseen(num_records), seed).tolist() for epoch in range(num_epochs)]


def test_the_papers_stages_at_1k_show_a_fifth_more_at_each_boundary() -> None:
    counts = [len(records) for records in shown(PAPER_AT_1K, 100, 100)]
    assert counts == [20] * 20 + [40] * 20 + [60] * 20 + [80] * 20 + [100] * 20


@given(st.integers(1, 120), st.integers(1, 20), STAGES)
def test_the_number_of_records_equals_the_oracle(
    num_records: int, batch_size: int, stages: tuple[list[float], list[int]]
) -> None:
    ratios, boundaries = stages
    schedule = GrowingPrefix(tuple(boundaries), batch_size, tuple(ratios))
    counts = [len(records) for records in shown(schedule, num_records, 16)]
    assert counts == curriculum_counts(num_records, batch_size, boundaries, ratios, 16)


@given(st.integers(1, 120), st.integers(1, 20), STAGES, st.integers(0, 2**32 - 1))
def test_every_epoch_shows_a_prefix_of_one_shuffle_and_the_last_shows_all_of_it(
    num_records: int, batch_size: int, stages: tuple[list[float], list[int]], seed: int
) -> None:
    schedule = GrowingPrefix(tuple(stages[1]), batch_size, tuple(stages[0]))
    epochs = shown(schedule, num_records, 16, seed)
    assert sorted(epochs[-1]) == list(range(num_records))
    for earlier, later in pairwise(epochs):
        assert later[: len(earlier)] == earlier


@given(st.integers(1, 120), st.integers(1, 20), STAGES)
def test_a_stage_holds_whole_batches_and_at_least_one(
    num_records: int, batch_size: int, stages: tuple[list[float], list[int]]
) -> None:
    schedule = GrowingPrefix(tuple(stages[1]), batch_size, tuple(stages[0]))
    for records in shown(schedule, num_records, 16):
        assert len(records) == num_records or (len(records) >= batch_size and len(records) % batch_size == 0)


def test_the_shuffle_follows_the_seed() -> None:
    assert shown(PAPER_AT_1K, 100, 100, seed=1) == shown(PAPER_AT_1K, 100, 100, seed=1)
    assert shown(PAPER_AT_1K, 100, 100, seed=1) != shown(PAPER_AT_1K, 100, 100, seed=2)


def test_the_shuffle_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(7)
    expected = torch.rand(1).item()
    torch.manual_seed(7)
    shown(PAPER_AT_1K, 100, 1)
    assert torch.rand(1).item() == expected


def test_the_records_are_shuffled_and_not_in_the_order_of_the_file() -> None:
    assert shown(PAPER_AT_1K, 100, 1)[0] != list(range(20))


def test_how_a_record_stood_changes_nothing() -> None:
    standing = Standing(torch.rand(100), torch.arange(100), torch.arange(100))
    assert PAPER_AT_1K(30, standing, 42).tolist() == PAPER_AT_1K(30, Standing.unseen(100), 42).tolist()


def test_a_share_that_a_float_misses_by_a_hair_is_not_rounded_away() -> None:
    schedule = GrowingPrefix((5, 9), batch_size=29, ratios=(0.58, 1.0))
    assert int(100 * 0.58) == 57
    assert len(shown(schedule, 100, 1)[0]) == 58


@pytest.mark.parametrize(
    ("boundaries", "ratios", "told"),
    [
        ((20, 40), PAPER_RATIOS, "5 ratios but 2 boundaries"),
        ((40, 20, 60, 80, 300), PAPER_RATIOS, "must not fall"),
        ((20, 40), (0.5, 0.2), "must not fall"),
        ((20, 40), (0.5, 0.8), "0.8"),
        ((20, 40), (0.5, 2.0), "2.0"),
        ((20, 40), (-0.5, 1.0), "-0.5"),
        ((20, 40), (float("nan"), 1.0), "nan"),
        ((), (), "end with 1"),
    ],
)
def test_stages_that_make_no_curriculum_are_refused(
    boundaries: tuple[int, ...], ratios: tuple[float, ...], told: str
) -> None:
    with pytest.raises(SettingsError, match=told):
        GrowingPrefix(boundaries, 10, ratios)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"boundaries": (3, 2, 4, 5, 6)}, "must not fall"),
        ({"boundaries": (3, 4)}, "5 ratios but 2 boundaries"),
        ({"ratios": (0.5, 1.0)}, "2 ratios but 5 boundaries"),
        ({"ratios": (0.5, 0.8), "boundaries": (1, 2)}, "end with 1.0"),
        ({"ratios": (), "boundaries": ()}, "end with 1.0"),
        ({"ratios": (0.0, 1.0), "boundaries": (1, 2)}, "above 0"),
    ],
)
def test_settings_that_make_no_curriculum_are_refused_when_they_are_read(given, told) -> None:
    with pytest.raises(SettingsError, match=f"curriculum: .*{told}"):
        MethodConfig.parse({"curriculum": given})
