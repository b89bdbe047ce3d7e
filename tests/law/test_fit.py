from dataclasses import replace

import pytest

from byheart.errors import LawError
from byheart.law.cells import select
from byheart.law.config import FitConfig
from byheart.law.fit import fit_law, fittable
from byheart.law.observation import Evidence, FailedCell
from laws_for_tests import LAW, LENGTHS, RANKS, observation, observed

CONFIG = FitConfig(num_resamples=50)


@pytest.fixture(scope="module")
def fit():
    """Of cells with every reason to be left out, and one that is wild."""
    cells = observed(noise=0.02)
    cells[12] = observation(4, 100, 2 * cells[12].nll_drop_nats)
    cells += [
        observation(64, 25, 79.9),
        observation(32, 400, 9.0, has_converged=False),
        observation(1, 9000, -0.1),
    ]
    failed = (FailedCell("random", "f1", "out of memory"), FailedCell("random", "f2", "out of memory"))
    return fit_law(Evidence(tuple(cells), failed), "random", config=CONFIG)


def test_what_is_left_out_is_counted(fit):
    counts = fit.counts
    assert (counts.used, counts.saturated, counts.unconverged, counts.unlearnt, counts.failed) == (25, 1, 1, 1, 2)
    assert len(fit.cells) == 25


def test_the_law_is_found_and_its_intervals_hold_it(fit):
    assert fit.law.rank_exponent == pytest.approx(LAW.rank_exponent, abs=0.1)
    assert set(fit.intervals) == {"coefficient", "rank_exponent", "length_exponent", "offset_nats"}
    for name, interval in fit.intervals.items():
        assert interval.low <= getattr(fit.law, name) <= interval.high
    assert fit.at_bounds == ()


def test_the_wild_cell_is_named_and_counts_in_the_quality(fit):
    wild = max(fit.outliers, key=lambda cell: abs(cell.residual_nats))
    assert (wild.lora_rank, wild.num_answer_tokens) == (4, 100)
    assert wild.residual_nats == pytest.approx(-wild.nll_drop_nats / 2, rel=0.1)
    assert fit.quality.mape > 0.5 / 25


def test_residuals_are_predictions_less_measurements(fit):
    for cell in fit.cells:
        predicted = float(fit.law.unclipped_nats(cell.lora_rank, cell.num_answer_tokens))
        assert cell.predicted_nats == pytest.approx(predicted)
        assert cell.residual_nats == pytest.approx(predicted - cell.nll_drop_nats)


def test_the_other_size_has_the_same_exponents_and_another_coefficient(fit):
    by_parameters = fit_law(Evidence(tuple(observed())), "random", "num_parameters", CONFIG)
    assert by_parameters.law.axis == "num_parameters"
    assert by_parameters.law.rank_exponent == pytest.approx(LAW.rank_exponent, abs=1e-3)
    assert by_parameters.law.coefficient == pytest.approx(LAW.coefficient * 2112**-LAW.rank_exponent, rel=1e-2)


def test_a_leave_out_without_enough_cells_says_why():
    fit = fit_law(Evidence(tuple(observed(LAW, (1, 2), (25, 50, 100), noise=0.01))), "few", config=CONFIG)
    assert fit.leave_out is None
    assert "2 different cells remain" in fit.leave_out_reason


@pytest.mark.parametrize(
    ("observations", "told"),
    [
        ([], r"g: 0 different \(rank, length\) to fit, at least 6 are needed"),
        (observed(LAW, (1,), (25, 50, 100, 200, 400)), r"g: 5 different \(rank, length\) to fit"),
        (observed(seed=1, ranks=(1,), lengths=(25, 50)) * 5, r"g: 2 different \(rank, length\)"),
        (observed(nll_before_nats=0.9), r"left out: 25 saturated, 0 not converged.*sweep lower ranks or longer"),
        (observed(LAW, (4,), range(25, 200, 25)), "g: all 7 cells to fit have one rank, 4"),
        (observed(LAW, range(1, 8), (100,)), "g: all 7 cells to fit have one length, 100"),
        ([observation(r, n, 3.0) for r in RANKS for n in LENGTHS], "the loss fell by 3 nats in all 25 cells"),
    ],
)
def test_what_cannot_be_fitted_is_refused_with_the_reason(observations, told):
    with pytest.raises(LawError, match=told):
        fittable(select(observations), 0, "g", "lora_rank")


def test_the_mend_is_of_what_took_most_cells():
    with pytest.raises(LawError, match=r"6 failed.*--retry-failed"):
        fittable(select([]), 6, "g", "lora_rank")
    with pytest.raises(LawError, match=r"0 failed\); sweep more ranks and lengths"):
        fittable(select(observed(LAW, (1, 2), (25, 50))), 0, "g", "lora_rank")
    unsettled = [replace(each, has_converged=False) for each in observed()]
    with pytest.raises(LawError, match=r"not converged.*sweep with more learn\.epochs"):
        fittable(select(unsettled), 1, "g", "lora_rank")
