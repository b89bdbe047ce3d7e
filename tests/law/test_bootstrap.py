import pytest

from byheart.errors import LawError
from byheart.law.bootstrap import intervals
from byheart.law.config import FitConfig
from byheart.law.curves import PaperCurve
from byheart.law.solve import solve
from laws_for_tests import LAW, as_cells, observed

CURVE = PaperCurve()


def found(noise, config, seed=0):
    cells = as_cells(observed(noise=noise, seed=seed))
    return intervals(CURVE, cells, solve(CURVE, cells), config)


def width(interval):
    return interval.high - interval.low


def test_the_same_seed_gives_the_same_intervals():
    config = FitConfig(num_resamples=50)
    assert found(0.03, config) == found(0.03, config)
    assert found(0.03, config) != found(0.03, FitConfig(num_resamples=50, seed=1))


def test_noise_widens_the_intervals_and_the_truth_stays_in_them():
    config = FitConfig(num_resamples=100)
    calm, loud = found(0.005, config), found(0.05, config)
    assert all(width(loud[name]) > 3 * width(calm[name]) for name in calm)
    for name, interval in loud.items():
        assert interval.low < getattr(LAW, name) < interval.high


def test_less_confidence_narrows_the_intervals():
    sure, unsure = FitConfig(num_resamples=100), FitConfig(num_resamples=100, confidence=0.6)
    narrow, wide = found(0.03, unsure), found(0.03, sure)
    assert all(narrow[name].low > wide[name].low and narrow[name].high < wide[name].high for name in wide)


def test_each_resample_is_told_of():
    cells = as_cells(observed(noise=0.02))
    told: list[int] = []
    intervals(CURVE, cells, solve(CURVE, cells), FitConfig(num_resamples=50), told.append)
    assert sum(told) == 50


def test_resamples_that_cannot_be_fitted_are_an_error(monkeypatch):
    cells = as_cells(observed(noise=0.02))
    solution = solve(CURVE, cells)
    monkeypatch.setattr("byheart.law.bootstrap.solve_again", lambda *_: None)
    with pytest.raises(LawError, match="only 0 of 200 resamples of 25 cells could be fitted, 50 are needed"):
        intervals(CURVE, cells, solution, FitConfig(num_resamples=50))
