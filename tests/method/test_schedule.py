import torch
from hypothesis import given
from hypothesis import strategies as st

from byheart.method.schedule import AllRecords, Standing


def test_before_the_first_epoch_no_record_was_seen() -> None:
    standing = Standing.unseen(3)
    assert standing.last_seen_N.tolist() == [-1, -1, -1]
    assert standing.min_probability_N.tolist() == [0.0, 0.0, 0.0]
    assert standing.num_stubborn_N.tolist() == [0, 0, 0]
    assert not standing.is_complete


def test_what_is_seen_of_some_records_leaves_the_others_alone() -> None:
    standing = Standing.unseen(3)
    standing.take_in(4, [2, 0], torch.tensor([0.5, 0.25]).log().neg(), torch.tensor([6, 7]))
    assert standing.min_probability_N.tolist() == [0.25, 0.0, 0.5]
    assert standing.num_stubborn_N.tolist() == [7, 0, 6]
    assert standing.last_seen_N.tolist() == [4, -1, 4]
    assert not standing.is_complete
    standing.take_in(5, slice(None), torch.full((3,), 0.1), torch.zeros(3, dtype=torch.int64))
    assert standing.is_complete


def test_all_are_above_a_probability_only_if_the_least_is() -> None:
    standing = Standing.unseen(2)
    standing.take_in(0, [0, 1], torch.tensor([0.5, 0.75]).log().neg(), torch.tensor([1, 0]))
    assert standing.all_above(0.25)
    assert not standing.all_above(0.5)


def test_epochs_are_counted_in_int64_and_probabilities_in_fp32() -> None:
    standing = Standing.unseen(2)
    assert standing.last_seen_N.dtype == torch.int64
    assert standing.min_probability_N.dtype == torch.float32


@given(st.integers(1, 50), st.integers(0, 1000), st.integers(0, 2**32 - 1))
def test_all_records_visits_every_record_once_in_every_epoch(num_records: int, epoch: int, seed: int) -> None:
    index_S = AllRecords()(epoch, Standing.unseen(num_records), seed)
    assert sorted(index_S.tolist()) == list(range(num_records))
    assert index_S.dtype == torch.int64
