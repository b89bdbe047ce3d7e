import pytest

from byheart.errors import LawError
from byheart.law.curves import PaperCurve
from byheart.law.leave_out import is_held_out, leave_out
from laws_for_tests import LAW, LENGTHS, RANKS, as_cells, observation, observed


def test_the_largest_rank_and_the_longest_length_are_set_aside():
    cells = as_cells(observed())
    held = {(size, length) for size, length in zip(cells.size_N, cells.length_N, strict=True)}
    kept = cells.take(~is_held_out(cells))
    held -= {(size, length) for size, length in zip(kept.size_N, kept.length_N, strict=True)}
    assert held == {(16, length) for length in LENGTHS} | {(rank, 400) for rank in RANKS}


def test_cells_of_the_law_are_predicted_unseen():
    found = leave_out(PaperCurve(), as_cells(observed()), is_robust=True)
    assert found.mape < 1e-3
    assert (found.num_fitted, found.num_predicted) == (16, 9)


def test_the_error_is_that_of_the_cells_set_aside_alone():
    """All of them lie at four fifths of the law, which the fit cannot know."""
    cells = [
        observation(cell.lora_rank, cell.num_answer_tokens, 0.8 * cell.nll_drop_nats)
        if cell.lora_rank == 16 or cell.num_answer_tokens == 400
        else cell
        for cell in observed(LAW)
    ]
    assert leave_out(PaperCurve(), as_cells(cells), is_robust=True).mape == pytest.approx(0.25, rel=0.01)


@pytest.mark.parametrize(
    ("ranks", "lengths", "told"),
    [
        ((1, 2), LENGTHS, "4 different cells remain, of 1 sizes and 4 lengths"),
        ((1, 2, 4), (25, 50, 100), "4 different cells remain, of 2 sizes and 2 lengths; 5 are needed"),
    ],
)
def test_too_few_remaining_cells_are_an_error(ranks, lengths, told):
    with pytest.raises(LawError, match=told):
        leave_out(PaperCurve(), as_cells(observed(LAW, ranks, lengths)), is_robust=True)
