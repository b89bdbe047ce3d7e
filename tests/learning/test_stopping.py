from itertools import pairwise

from byheart.learning.stopping import LONGEST_WAIT, Plateau, Verification


def test_a_plateau_is_so_many_visits_without_a_new_minimum():
    plateau = Plateau()
    assert [plateau.reached(count, 10, 30) for count in (9, 9, 8, 8, 9, 8)] == [False, False, False, False, False, True]


def test_an_epoch_of_few_visits_takes_little_patience():
    plateau = Plateau()
    assert [plateau.reached(9, visits, 30) for visits in (10, 10, 10, 5, 4, 1)] == [
        False,
        False,
        False,
        False,
        False,
        True,
    ]


def test_a_new_minimum_begins_the_wait_anew():
    plateau = Plateau()
    assert not any(plateau.reached(count, 1, 2) for count in (5, 5, 4, 4, 3, 3, 2))


def test_a_plateau_goes_on_from_where_it_was():
    whole, first = Plateau(), Plateau()
    counts = [7, 7, 7, 7]
    told = [whole.reached(count, 1, 3) for count in counts]
    halves = [first.reached(count, 1, 3) for count in counts[:2]]
    second = Plateau(first.best, first.num_stale)
    assert halves + [second.reached(count, 1, 3) for count in counts[2:]] == told


def test_full_passes_that_fail_are_ever_farther_apart_up_to_a_bound():
    verification, made = Verification(), []
    for epoch in range(1, 40):
        if verification.due(epoch):
            made.append(epoch)
            verification.failed(epoch)
    gaps = [later - earlier for earlier, later in pairwise(made)]
    assert made[0] == 1
    assert gaps == [min(2**i, LONGEST_WAIT) for i in range(len(gaps))]


def test_an_epoch_without_stubborn_tokens_is_never_stale():
    plateau = Plateau()
    assert not any(plateau.reached(count, 1, 2) for count in (5, 0, 0, 0, 0, 1, 0, 1, 0))
