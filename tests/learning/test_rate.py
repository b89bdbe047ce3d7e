import pytest

from byheart.learning.config import LearnConfig
from byheart.learning.rate import learning_rate, starting_rate
from models_for_tests import placed, small

CONFIG = LearnConfig(decay="linear", decay_share=0.5, floor_share=0.25)


@pytest.mark.parametrize(
    ("num_passes", "rate"), [(0, 2.0), (1, 1.6), (2.5, 1.0), (3.75, 0.5), (4, 0.5), (5, 0.5), (10, 0.5), (99, 0.5)]
)
def test_it_falls_over_its_share_of_the_budget_and_stays_at_the_floor(num_passes, rate):
    assert learning_rate(CONFIG, 2.0, num_passes, num_epochs=10) == pytest.approx(rate)


def test_a_constant_one_stays():
    constant = LearnConfig(decay="constant")
    assert learning_rate(constant, 2.0, 99.0, num_epochs=10) == 2.0
    assert learning_rate(constant, 2.0, 99.0, num_epochs=10, is_grown=True) == 1.0


@pytest.mark.parametrize(("left_share", "rate"), [(1.0, 2.0), (0.49, 1.4), (0.0625, 0.5), (0.01, 0.5), (0.0, 0.5)])
def test_it_falls_with_the_root_of_what_is_left_down_to_the_floor(left_share, rate):
    config = LearnConfig(floor_share=0.25)
    assert learning_rate(config, 2.0, 99.0, 10, left_share=left_share) == pytest.approx(rate)


def test_more_left_than_at_first_does_not_raise_it():
    assert learning_rate(LearnConfig(), 2.0, 1.0, 10, left_share=3.0) == 2.0


def test_a_share_of_the_budget_is_of_no_use_to_a_rate_that_does_not_look_at_it():
    with pytest.raises(ValueError, match="give decay: linear, or leave decay_share out"):
        LearnConfig(decay_share=0.5)


@pytest.mark.parametrize("decay", ["linear", "remaining"])
@pytest.mark.parametrize("num_passes", [0, 2.5, 99])
def test_after_a_growth_it_is_a_share_of_what_it_was(decay, num_passes):
    config = LearnConfig(decay=decay, growth_rate_share=0.3)
    before, after = (learning_rate(config, 2.0, num_passes, 10, is_grown=is_grown) for is_grown in (False, True))
    assert after == pytest.approx(0.3 * before)


def test_a_rate_that_is_given_is_taken():
    assert starting_rate(LearnConfig(learning_rate=0.123), placed(small("llama"), "all"), 10_000) == 0.123


def test_fewer_sites_begin_with_a_higher_rate():
    rates = [
        starting_rate(LearnConfig(), placed(small("llama"), layers, modules), 100)
        for layers, modules in [
            ("all", "all-linear"),
            ("top:3", "all-linear"),
            ("top:1", "mlp"),
            ("top:1", "down_proj"),
        ]
    ]
    assert rates == sorted(rates)
    assert rates[1] == pytest.approx(6e-3)
    assert rates[2] == pytest.approx(6e-3 * 7**0.5)


def test_a_higher_rank_begins_with_a_lower_rate_from_sixteen_up():
    rates = [starting_rate(LearnConfig(), placed(small("llama"), "top:3", rank=rank), 100) for rank in (8, 16, 64)]
    assert rates == pytest.approx([6e-3, 6e-3, 3e-3])


def test_a_pass_of_many_steps_begins_with_a_lower_rate():
    few, many = (starting_rate(LearnConfig(), placed(small("llama"), "top:3", rank=16), size) for size in (100, 1000))
    assert (few, many) == pytest.approx((6e-3, 1.8e-3))


def test_a_low_rank_makes_up_for_many_steps_up_to_the_rate_of_few():
    rates = [starting_rate(LearnConfig(), placed(small("llama"), "top:3", rank=rank), 1000) for rank in (1, 4, 16, 64)]
    assert rates == pytest.approx([6e-3, 3.6e-3, 1.8e-3, 0.9e-3])
