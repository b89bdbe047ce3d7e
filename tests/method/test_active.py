import torch
from hypothesis import given
from hypothesis import strategies as st

from byheart.method.active import ActiveSet
from byheart.method.schedule import AllRecords, Standing

WANTED = 0.65
probabilities = st.lists(st.floats(0, 1, width=32), min_size=1, max_size=30)
rests = st.integers(0, 6)
seeds = st.integers(0, 2**31 - 1)
epochs = st.integers(0, 1000)


def standing(p: list[float], last_seen: int = 0) -> Standing:
    none_N = torch.zeros(len(p), dtype=torch.int64)
    return Standing(torch.tensor(p), none_N, none_N + last_seen)


@given(probabilities, rests, epochs, seeds)
def test_active_records_are_always_visited(p: list[float], rest_epochs: int, epoch: int, seed: int) -> None:
    visited = set(ActiveSet(WANTED, rest_epochs)(epoch, standing(p), seed).tolist())
    assert visited >= {i for i, each in enumerate(torch.tensor(p)) if not each > WANTED}


@given(st.lists(probabilities.map(tuple), min_size=1, max_size=8), rests, epochs, seeds)
def test_no_record_rests_longer_whatever_its_standing(
    histories: list[tuple[float, ...]], rest_epochs: int, first: int, seed: int
) -> None:
    """Every record is visited at least once in any ``rest_epochs`` + 1 consecutive epochs."""
    num_records = len(histories[0])
    visited: set[int] = set()
    for epoch in range(first, first + rest_epochs + 1):
        history = histories[epoch % len(histories)]
        p = [history[i % len(history)] for i in range(num_records)]
        visited |= set(ActiveSet(WANTED, rest_epochs)(epoch, standing(p), seed).tolist())
    assert visited == set(range(num_records))


@given(probabilities, rests, epochs, seeds)
def test_an_epoch_names_distinct_records_and_at_least_one(
    p: list[float], rest_epochs: int, epoch: int, seed: int
) -> None:
    index_S = ActiveSet(WANTED, rest_epochs)(epoch, standing(p), seed)
    assert index_S.dtype == torch.int64
    assert 1 <= len(index_S) == len(set(index_S.tolist())) <= len(p)


@given(probabilities, rests, epochs, seeds, st.integers(0, 1000))
def test_the_same_epoch_standing_and_seed_give_the_same_records(
    p: list[float], rest_epochs: int, epoch: int, seed: int, noise: int
) -> None:
    first = ActiveSet(WANTED, rest_epochs)(epoch, standing(p), seed)
    torch.manual_seed(noise)
    assert torch.equal(ActiveSet(WANTED, rest_epochs)(epoch, standing(p), seed), first)


@given(st.integers(1, 100), rests, epochs, seeds)
def test_every_epoch_replays_the_same_share_of_the_records(
    num_records: int, rest_epochs: int, epoch: int, seed: int
) -> None:
    index_S = ActiveSet(WANTED, rest_epochs)(epoch, standing([0.9] * num_records), seed)
    share = num_records / (rest_epochs + 1)
    assert max(int(share), 1) <= len(index_S) <= int(share) + 1


def test_with_nothing_to_rest_for_every_record_is_visited_as_by_the_plain_schedule() -> None:
    known = standing([0.9, 0.1, 0.7])
    assert torch.equal(ActiveSet(WANTED, 0)(5, known, 1), AllRecords()(5, known, 1))


def test_a_record_that_has_slipped_is_active_at_once() -> None:
    schedule, p = ActiveSet(WANTED, 1000), [0.9] * 8
    epoch = 500  # nobody's turn
    p[3], p[5] = WANTED, 0.1
    assert schedule(epoch, standing(p), 1).tolist() == [3, 5]


def test_where_no_record_is_active_and_none_has_its_turn_the_least_probable_is_visited() -> None:
    schedule, p = ActiveSet(WANTED, 1000), [0.9, 0.8, 0.99]
    alone = [schedule(epoch, standing(p), 1).tolist() for epoch in range(1001)]
    assert sum(each != [1] for each in alone) == 2  # the turns of the other two


def test_other_seeds_deal_other_turns() -> None:
    turns = {tuple(ActiveSet(WANTED, 3)(0, standing([0.9] * 20), seed).tolist()) for seed in range(5)}
    assert len(turns) > 1


def test_before_the_first_epoch_every_record_is_active() -> None:
    assert ActiveSet(WANTED, 3)(0, Standing.unseen(5), 1).tolist() == [0, 1, 2, 3, 4]
