import math

import numpy as np
import pytest

from byheart.law.alternatives import FORMS, BitsCurve, PowerCurve, RatioCurve, RelativeCurve, SaturatingCurve
from byheart.law.solve import solve
from laws_for_tests import LENGTHS, PARAMETERS_EACH_RANK, RANKS, as_cells, observation


def power(rank, length):
    return 20 * rank**0.6 * length**-0.4


def ratio(rank, length):
    return 30 * (rank / length) ** 0.5


def saturating(rank, length):
    return 12.0 * (1 - math.exp(-4 * rank**0.8 * length**-0.6))


def bits(rank, length):
    load = length * 12.0 / math.log(2) / (PARAMETERS_EACH_RANK * rank)
    return 12.0 * (1 - math.exp(-((0.5 / load) ** 0.7)))


def relative(rank, length):
    return 12.0 * (0.8 * rank**0.4 * length**-0.3 - 0.1)


CASES = [
    (PowerCurve(), power, {"coefficient": 20.0, "rank_exponent": 0.6, "length_exponent": 0.4}, 90.0),
    (RatioCurve(), ratio, {"coefficient": 30.0, "ratio_exponent": 0.5}, 90.0),
    (SaturatingCurve(), saturating, {"coefficient": 4.0, "rank_exponent": 0.8, "length_exponent": 0.6}, 12.0),
    (BitsCurve(), bits, {"bits_per_parameter": 0.5, "load_exponent": 0.7}, 12.0),
    (
        RelativeCurve(),
        relative,
        {"coefficient": 0.8, "rank_exponent": 0.4, "length_exponent": 0.3, "offset_nats": -0.1},
        12.0,
    ),
]


def cells_of(function, nll_before_nats):
    return as_cells([observation(r, n, function(r, n), nll_before_nats) for r in RANKS for n in LENGTHS])


@pytest.mark.parametrize(("curve", "function", "constants", "nll_before_nats"), CASES)
def test_each_form_finds_its_own_constants(curve, function, constants, nll_before_nats):
    cells = cells_of(function, nll_before_nats)
    found = curve.constants(solve(curve, cells, is_robust=False).x_P, cells)
    assert found == pytest.approx(constants, rel=1e-2)


@pytest.mark.parametrize("curve", FORMS, ids=lambda curve: curve.name)
def test_a_form_predicts_more_for_more_rank_and_less_for_longer_answers(curve):
    cells = cells_of(saturating, 12.0)
    x_P = solve(curve, cells, is_robust=False).x_P
    grid = curve.predict(x_P, cells).reshape(len(RANKS), len(LENGTHS))
    assert (np.diff(grid, axis=0) >= 0).all()
    assert (np.diff(grid, axis=1) <= 0).all()


@pytest.mark.parametrize("curve", FORMS, ids=lambda curve: curve.name)
def test_the_derivatives_through_the_complex_plane_are_those_of_small_steps(curve):
    cells = cells_of(saturating, 12.0)
    x_P = np.asarray(curve.starts(cells)[1])
    for step_P in np.eye(len(x_P)):
        slope_N = curve.predict(x_P + 1e-30j * step_P, cells).imag / 1e-30
        ahead_N, behind_N = (curve.predict(x_P + sign * 1e-6 * step_P, cells) for sign in (1, -1))
        assert slope_N == pytest.approx((ahead_N - behind_N) / 2e-6, rel=1e-5, abs=1e-6)


def test_only_the_saturating_forms_stay_below_what_there_is_to_lose():
    cells = cells_of(saturating, 12.0)
    far = as_cells([observation(10_000, 1, 1.0, 12.0)])
    far = type(far)(
        **{**vars(far), "log_size_centre": cells.log_size_centre, "log_length_centre": cells.log_length_centre}
    )
    for curve in FORMS:
        predicted = float(curve.predict(solve(curve, cells, is_robust=False).x_P, far)[0])
        assert (predicted <= 12.0) == isinstance(curve, SaturatingCurve)
