import pytest

from byheart.errors import SettingsError
from byheart.learning.config import LearnConfig


@pytest.mark.parametrize("betas", [(0.9, 1.0), (-0.1, 0.9), (0.9, 1.5), (0.0, 0.9), (0.9,)])
def test_betas_lie_between_nought_and_one(betas):
    with pytest.raises(SettingsError, match="betas"):
        LearnConfig.parse({"betas": betas})


def test_the_patience_is_half_of_the_budget_or_what_was_asked_for():
    assert [LearnConfig().patience_epochs(epochs) for epochs in (1, 5, 60)] == [1, 3, 30]
    assert LearnConfig(plateau_epochs=7).patience_epochs(60) == 7


def test_a_floor_without_a_fall_is_refused():
    with pytest.raises(SettingsError, match=r"floor_share 0.5 is of a rate that falls, and decay is constant"):
        LearnConfig.parse({"decay": "constant", "floor_share": 0.5}, "settings")


@pytest.mark.parametrize(("num_records", "pace"), [(1, 1), (300, 1), (301, 30 / 31), (1000, 0.3), (3200, 30 / 320)])
def test_beyond_thirty_steps_a_pass_each_counts_for_less(num_records, pace):
    assert LearnConfig().pace(num_records) == pytest.approx(pace)


def test_larger_steps_are_fewer_and_keep_the_pace():
    assert LearnConfig(batch_size=20, accumulation=5).pace(3000) == 1


def test_the_mean_keeps_nine_tenths_over_a_step_or_a_thirtieth_of_a_pass():
    config = LearnConfig()
    assert config.kept_share(300) == pytest.approx(0.9)
    assert config.kept_share(3000) ** (300 / 30) == pytest.approx(0.9)


@pytest.mark.parametrize("share", [0.0, 0.97])
def test_a_share_of_the_mean_that_is_given_is_of_each_step(share):
    assert LearnConfig(averaging=share).kept_share(3000) == share
