import matplotlib as mpl
import numpy as np
import pytest

from byheart.report.figures import SERIES, save
from byheart.report.law_figures import GridValue
from byheart.report.paper_figures import (
    Answer,
    DrawnCourse,
    Landscape,
    convergence,
    landscapes,
    probability_grid,
    token_dynamics,
)

ANSWERS = [Answer(1, 4, [0.9, 0.3, 0.2, 0.6], 1), Answer(2, 4, [0.9, 0.8, 0.9, 0.7], None)]
COURSES = [DrawnCourse(1, [4.0, 2.0, 1.0], [1.0, 0.5, 0.2]), DrawnCourse(2, [4.0, 1.0], [1.0, 0.0])]


def every_figure():
    yield token_dynamics(ANSWERS, [(1, 1), (2, 5)], 1.0, [0.25, 0.9])
    yield landscapes([Landscape("PhoneBook", "exact match", [GridValue(1, 50, 0.2), GridValue(2, 50, 1.0)])], "SFT")
    yield convergence(COURSES, "SFT", 3, 4.0)
    yield probability_grid(ANSWERS, "random")


@pytest.mark.parametrize("index", range(4))
def test_every_axis_says_what_it_shows_and_nothing_global_is_changed(index, tmp_path):
    before = dict(mpl.rcParams)
    figure = list(every_figure())[index]
    told = [axes.get_xlabel() + axes.get_ylabel() for axes in figure.axes] + [figure.get_supxlabel()]
    assert any(told)
    assert not any(axes.spines["top"].get_visible() for axes in figure.axes if axes.get_label() != "<colorbar>")
    svg, png = save(figure, tmp_path / "figure")
    assert "<text" in svg.read_text()
    assert png.stat().st_size > 5000
    assert dict(mpl.rcParams) == before


def test_the_same_figure_has_the_same_bytes(tmp_path):
    first, second = (save(probability_grid(ANSWERS, "t"), tmp_path / name)[0].read_bytes() for name in "ab")
    assert first == second


def test_stubborn_tokens_are_crosses_and_the_first_failure_is_a_line():
    failing, exact = probability_grid(ANSWERS, "random").axes
    crosses = [line for line in failing.lines if line.get_marker() == "x"]
    assert [np.asarray(line.get_xdata()).tolist() for line in crosses] == [[1, 2]]
    assert crosses[0].get_color() == SERIES[1]
    assert np.asarray(failing.lines[-1].get_xdata()).tolist() == [1, 1]
    assert not any(np.size(line.get_xdata()) for line in exact.lines if line.get_marker() == "x")


def test_a_cell_that_was_not_run_says_so():
    answers = [Answer(1, 4, [0.9] * 4, None), Answer(2, 8, [0.9] * 8, None)]
    texts = [text.get_text() for axes in probability_grid(answers, "t").axes for text in axes.texts]
    assert texts.count("not run") == 2


def test_landscapes_average_repeats_on_one_scale():
    values = [GridValue(1, 50, 0.2), GridValue(1, 50, 0.4), GridValue(1, 100, 1.0)]
    axes = landscapes([Landscape("a", "exact match", values)], "SFT").axes[0]
    assert [text.get_text() for text in axes.texts] == ["0.30", "1.00"]
    assert axes.images[0].get_clim() == (0, 1)


def test_dynamics_say_rho_and_count_failures():
    figure = token_dynamics(ANSWERS, [(1, 1), (2, 5)], None, [0.25])
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert "(b) 2 failures, Spearman ρ not defined" in titles
    assert "(c) where 1 free runs fail" in titles
    assert sum(patch.get_bbox().height for patch in figure.axes[2].patches) == 1  # type: ignore[attr-defined] - a bar is a Rectangle


def test_convergence_draws_a_line_a_rank_and_ln_2():
    losses, shares = convergence(COURSES, "SFT", 3, 4.0).axes
    assert [label for line in shares.lines if not (label := str(line.get_label())).startswith("_")] == ["1", "2"]
    assert any(np.allclose(line.get_ydata(), np.log(2)) for line in losses.lines)
