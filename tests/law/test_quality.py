import numpy as np
import pytest

from byheart.law.quality import quality


def test_what_is_predicted_to_the_digit_is_perfect():
    drop_N = np.array([1.0, 2.0, 4.0])
    agreed = quality(drop_N, drop_N)
    assert (agreed.r_squared, agreed.mape, agreed.rmse_nats) == (1.0, 0.0, 0.0)


def test_the_mean_has_no_r_squared():
    drop_N = np.array([1.0, 2.0, 6.0])
    assert quality(np.full(3, 3.0), drop_N).r_squared == pytest.approx(0.0)


def test_mape_and_rmse_by_hand():
    agreed = quality(np.array([1.5, 2.0, 3.0]), np.array([1.0, 2.0, 4.0]))
    assert agreed.mape == pytest.approx((0.5 + 0 + 0.25) / 3)
    assert agreed.rmse_nats == pytest.approx((1.25 / 3) ** 0.5)
    assert agreed.r_squared == pytest.approx(1 - 1.25 / (14 / 3))
