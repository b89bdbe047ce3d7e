import math

import numpy as np
import pytest

from byheart.law.alternatives import FORMS
from byheart.law.comparison import aicc, compare
from laws_for_tests import LAW, as_cells, observation, observed


@pytest.fixture(scope="module")
def of_the_papers_form():
    return {form.name: form for form in compare(as_cells(observed(noise=0.01)))}


def test_every_form_is_held_against_the_papers_on_the_same_cells(of_the_papers_form):
    assert list(of_the_papers_form) == [curve.name for curve in FORMS]
    assert next(iter(of_the_papers_form)) == "paper"
    assert [form.num_constants for form in of_the_papers_form.values()] == [4, 4, 3, 2, 3, 2]


def test_cells_of_the_papers_form_are_predicted_best_by_it(of_the_papers_form):
    paper = of_the_papers_form["paper"]
    assert paper.quality.r_squared > 0.999
    for name in ("ratio", "saturating in bits"):
        assert of_the_papers_form[name].aicc > paper.aicc + 10
        assert of_the_papers_form[name].leave_out_mape > 2 * paper.leave_out_mape


def test_cells_that_saturate_are_predicted_best_by_a_form_that_does():
    generator = np.random.default_rng(0)
    cells = [
        observation(
            cell.lora_rank,
            cell.num_answer_tokens,
            12 * -math.expm1(-4 * cell.lora_rank**0.8 * cell.num_answer_tokens**-0.6) * generator.normal(1, 0.005),
            13.0,
        )
        for cell in observed()
    ]
    cells = [cell for cell in cells if cell.nll_drop_nats < 12.0]
    forms = {form.name: form for form in compare(as_cells(cells))}
    assert forms["saturating"].aicc < forms["paper"].aicc - 10


def test_a_form_whose_leave_out_has_too_few_cells_says_why():
    [paper, *_] = compare(as_cells(observed(LAW, (1, 2), (25, 50, 100, 200), noise=0.01)))
    assert paper.leave_out_mape is None
    assert "3 different cells remain" in paper.reason
    assert paper.quality is not None


def test_aicc_by_hand():
    residual_N = np.full(10, 0.5)
    assert aicc(residual_N, 2) == pytest.approx(10 * math.log(0.25) + 6 + 24 / 6)


def test_another_constant_must_earn_its_place():
    residual_N = np.random.default_rng(0).normal(size=20)
    few, many = aicc(residual_N, 2), aicc(residual_N, 4)
    assert few is not None and many is not None
    assert few < many


@pytest.mark.parametrize(("num_cells", "size"), [(6, 0.1), (20, 0.0)])
def test_there_is_no_criterion_for_too_few_cells_or_a_perfect_fit(num_cells, size):
    assert aicc(np.full(num_cells, size), 4) is None
