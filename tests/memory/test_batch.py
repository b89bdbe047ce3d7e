import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from byheart.memory.batch import collate
from byheart.memory.encode import EncodedRecord

ids = st.integers(0, 99)
records = st.lists(
    st.builds(
        EncodedRecord,
        st.text(),
        st.lists(ids, min_size=1, max_size=6).map(tuple),
        st.lists(ids, min_size=1, max_size=6).map(tuple),
    ),
    min_size=1,
    max_size=5,
)

TWO = [EncodedRecord("a", (1, 2, 3), (4, 5)), EncodedRecord("b", (6,), (7, 8, 9))]


def test_a_batch_written_out():
    batch = collate([*TWO, EncodedRecord("c", (1,), (2,))], pad_id=0)
    assert batch.tokens_BT.tolist() == [[1, 2, 3, 4, 5], [6, 7, 8, 9, 0], [1, 2, 0, 0, 0]]
    assert batch.answer_mask_BT.int().tolist() == [[0, 0, 0, 1, 1], [0, 1, 1, 1, 0], [0, 1, 0, 0, 0]]
    assert batch.predicting_BT.int().tolist() == [[0, 0, 1, 1, 0], [1, 1, 1, 0, 0], [1, 0, 0, 0, 0]]
    assert batch.predicting_A.tolist() == [2, 3, 5, 6, 7, 10]
    assert batch.target_A.tolist() == [4, 5, 7, 8, 9, 2]
    assert batch.record_A.tolist() == [0, 0, 1, 1, 1, 2]
    assert batch.position_A.tolist() == [0, 1, 0, 1, 2, 0]
    assert batch.record_ids == ("a", "b", "c")


@given(records)
def test_packed_tensors_are_the_answers_in_order(some):
    batch = collate(some, pad_id=7)
    expected = [(row, index, token) for row, record in enumerate(some) for index, token in enumerate(record.answer_ids)]
    packed = zip(batch.record_A.tolist(), batch.position_A.tolist(), batch.target_A.tolist(), strict=True)
    assert list(packed) == expected


@given(records)
def test_a_predicting_position_stands_before_its_target(some):
    batch = collate(some, pad_id=7)
    rows, positions = batch.predicting_BT.nonzero(as_tuple=True)
    assert torch.equal(batch.tokens_BT[rows, positions + 1], batch.target_A)
    assert torch.equal(rows, batch.record_A)


@given(records)
def test_rows_give_their_records_back(some):
    batch = collate(some, pad_id=7)
    for row, record in enumerate(some):
        assert batch.tokens_BT[row, : record.num_tokens].tolist() == [*record.prompt_ids, *record.answer_ids]
        assert (batch.tokens_BT[row, record.num_tokens :] == 7).all()
        assert batch.answer_mask_BT[row].sum() == len(record.answer_ids)


def test_dtypes():
    batch = collate(TWO, pad_id=0)
    assert (batch.tokens_BT.dtype, batch.answer_mask_BT.dtype) == (torch.int64, torch.bool)


def test_a_batch_moves_to_a_device():
    moved = collate(TWO, pad_id=0).to("meta")
    tensors = (moved.tokens_BT, moved.answer_mask_BT, moved.predicting_BT, moved.predicting_A, moved.target_A)
    assert {tensor.device.type for tensor in tensors} == {"meta"}
    assert moved.record_A.shape == moved.position_A.shape == moved.target_A.shape == (5,)
    assert moved.record_ids == ("a", "b")


@pytest.mark.parametrize("some", [[], [EncodedRecord("a", (), (1,))]])
def test_what_cannot_be_predicted_is_no_batch(some):
    with pytest.raises(ValueError, match=r"at least one record|nothing predicts"):
        collate(some, pad_id=0)
