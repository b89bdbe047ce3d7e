import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from byheart.method.schedule import AllRecords, Standing


def test_before_the_first_epoch_no_record_was_seen() -> None:
    standing = Standing.unseen(3)
    assert standing.last_seen_N.tolist() == [-1, -1, -1]
    assert standing.min_probability_N.tolist() == [0.0, 0.0, 0.0]


def test_epochs_are_counted_in_int64_and_probabilities_in_fp32() -> None:
    standing = Standing.unseen(2)
    assert standing.last_seen_N.dtype == torch.int64
    assert standing.min_probability_N.dtype == torch.float32


@given(st.integers(1, 50), st.integers(0, 1000), st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_all_records_visits_every_record_once_in_every_epoch(num_records: int, epoch: int, seed: int) -> None:
    index_S = AllRecords()(epoch, Standing.unseen(num_records), seed)
    assert sorted(index_S.tolist()) == list(range(num_records))
    assert index_S.dtype == torch.int64
