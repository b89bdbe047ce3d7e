import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from byheart.errors import SettingsError
from byheart.integrations.record_keys import IGNORED, KeyedCollator, record_key, take_keys

Ids = st.lists(st.integers(0, 200_000), min_size=1, max_size=12)


def padded(rows: list[list[int]], width: int, side: str) -> dict[str, torch.Tensor]:
    """Rows of a causal model's batch, trained on all their tokens."""

    def fill(row: list[int], value: int) -> list[int]:
        padding = [value] * (width - len(row))
        return padding + row if side == "left" else row + padding

    return {
        "input_ids": torch.tensor([fill(row, 0) for row in rows]),
        "attention_mask": torch.tensor([fill([1] * len(row), 0) for row in rows]),
        "labels": torch.tensor([fill(row, IGNORED) for row in rows]),
    }


@given(st.lists(Ids, min_size=1, max_size=4), st.integers(12, 20), st.sampled_from(["left", "right"]))
def test_a_rows_key_is_its_tokens_whatever_the_padding(rows, width, side):
    batch = KeyedCollator(lambda rows: padded(rows, width, side))(rows)
    assert take_keys(batch["labels"]) == tuple(record_key(row) for row in rows)


@given(Ids, Ids)
def test_keys_are_equal_where_the_tokens_are(one, other):
    assert (record_key(one) == record_key(other)) == (one == other)


@given(st.lists(Ids, min_size=1, max_size=4))
def test_no_label_changes_but_the_first_which_nothing_predicts(rows):
    plain = padded(rows, 12, "right")
    batch = KeyedCollator(lambda rows: plain)(rows)
    assert torch.equal(batch["labels"][:, 1:], plain["labels"][:, 1:])
    assert torch.equal(plain["labels"], padded(rows, 12, "right")["labels"])
    assert torch.equal(batch["input_ids"], plain["input_ids"])


def test_keys_are_taken_once():
    batch = KeyedCollator(lambda rows: padded(rows, 5, "right"))([[1, 2, 3], [4]])
    assert take_keys(batch["labels"]) is not None
    assert batch["labels"][:, 0].tolist() == [IGNORED, IGNORED]
    assert take_keys(batch["labels"]) is None


def test_token_ids_are_never_taken_for_keys():
    labels = torch.tensor([[2**31 - 1, 5], [7, 8]])
    assert take_keys(labels) is None
    assert labels[:, 0].tolist() == [2**31 - 1, 7]


@pytest.mark.parametrize("name", ["input_ids", "labels", "attention_mask"])
def test_a_batch_that_does_not_tell_its_rows_is_refused(name):
    def collator(rows):
        return {key: value for key, value in padded(rows, 5, "right").items() if key != name}

    with pytest.raises(SettingsError, match=f"the collator function gives no {name}"):
        KeyedCollator(collator)([[1, 2]])


def test_a_row_of_padding_alone_is_refused():
    batch = padded([[1, 2]], 5, "right")
    batch["attention_mask"][:] = 0
    with pytest.raises(SettingsError, match="a token in every row"):
        KeyedCollator(lambda rows: batch)([[1, 2]])
