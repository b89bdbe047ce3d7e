import importlib.util
import math
from typing import Any

import numpy as np
import pytest

from byheart.errors import SettingsError
from byheart.law.config import FitConfig
from byheart.law.fit import fit_law
from byheart.law.fits import fit_groups
from byheart.law.observation import Evidence
from byheart.report.figures import MARKERS, SERIES, save, series
from byheart.report.law_album import num_figures, save_figures
from byheart.report.law_figures import (
    GridValue,
    drop_over_grid,
    heat_map,
    predicted_against_measured,
    residuals,
)
from laws_for_tests import LENGTHS, RANKS, observation, observed

CONFIG = FitConfig(num_resamples=50)


@pytest.fixture(scope="module")
def fit():
    """Of 25 cells, one of them wild."""
    cells = observed(noise=0.002)
    cells[12] = observation(4, 100, 2 * cells[12].nll_drop_nats)
    return fit_law(Evidence(tuple(cells)), "random", config=CONFIG)


def coordinates(line: Any) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in zip(*line.get_data(), strict=True)]


def markers(axes: Any) -> list[Any]:
    """What is drawn without a line."""
    return [line for line in axes.get_lines() if line.get_linestyle() == "None"]


def points(axes: Any) -> list[tuple[float, float]]:
    return [at for line in markers(axes) if line.get_markersize() < 10 for at in coordinates(line)]


def rings(axes: Any) -> list[tuple[float, float]]:
    return [at for line in markers(axes) if line.get_markersize() > 10 for at in coordinates(line)]


def test_each_cell_is_predicted_against_measured(fit):
    [axes] = predicted_against_measured([fit]).axes
    assert sorted(points(axes)) == sorted((cell.nll_drop_nats, cell.predicted_nats) for cell in fit.cells)
    assert sorted(rings(axes)) == sorted((cell.nll_drop_nats, cell.predicted_nats) for cell in fit.outliers) != []
    assert axes.get_xlim() == axes.get_ylim()
    legend = axes.get_legend()
    assert legend is not None
    [label] = [text.get_text() for text in legend.get_texts()]
    assert label == f"random: R² {fit.quality.r_squared:.3f}, MAPE {100 * fit.quality.mape:.1f} %"


def test_residuals_stand_over_rank_and_over_length(fit):
    over_rank, over_length = residuals([fit]).axes
    assert sorted(points(over_rank)) == sorted((cell.lora_rank, cell.residual_nats) for cell in fit.cells)
    assert sorted(points(over_length)) == sorted((cell.num_answer_tokens, cell.residual_nats) for cell in fit.cells)
    assert (over_rank.get_xlabel(), over_length.get_xlabel()) == ("adapter rank r", "answer tokens ℓ")


def test_the_laws_cuts_are_straight_in_log_space_and_go_through_its_cells(fit):
    saturated = [observation(64, 25, 79.9)]
    over_rank, over_length = drop_over_grid(fit, saturated).axes
    assert over_rank.get_xscale() == over_rank.get_yscale() == over_length.get_xscale() == "log"
    lines = [line for line in over_rank.get_lines() if line.get_linestyle() == "-"]
    assert len(lines) == len(LENGTHS)
    for line in lines:
        (low, below), (high, above) = coordinates(line)
        assert math.log(above / below) / math.log(high / low) == pytest.approx(fit.law.rank_exponent)
    assert len(points(over_rank)) == len(fit.cells) + 1
    hollow = [line for line in markers(over_rank) if line.get_markerfacecolor() == "white"]
    assert [at for line in hollow for at in coordinates(line)] == [(64, 79.9 - fit.law.offset_nats)]


def test_cells_below_the_offset_are_not_drawn_but_counted(fit):
    far = fit.model_copy(update={"law": fit.law.model_copy(update={"offset_nats": 3.0})})
    num_below = sum(cell.nll_drop_nats <= 3.0 for cell in fit.cells)
    assert num_below > 0
    figure = drop_over_grid(far)
    assert f"{num_below} below b, not shown" in figure.get_suptitle()
    assert len(points(figure.axes[0])) == len(fit.cells) - num_below


def grid_values(missing=()):
    return [
        GridValue(rank, length, rank / length * 25)
        for rank in RANKS
        for length in LENGTHS
        if (rank, length) not in missing
    ]


def test_a_heat_map_shows_each_cell_where_it_lies():
    figure = heat_map(grid_values(missing={(2, 50)}), "final loss")
    shown = figure.axes[0].images[0].get_array()
    assert shown is not None
    expected = np.array([[rank / length * 25 for length in LENGTHS] for rank in RANKS])
    expected[1, 1] = np.nan
    assert np.array_equal(np.ma.filled(shown, np.nan), expected, equal_nan=True)
    assert [text.get_text() for text in figure.axes[0].get_xticklabels()] == [str(length) for length in LENGTHS]
    assert len(figure.axes[0].texts) == 24


def test_repeats_are_averaged():
    figure = heat_map([GridValue(1, 10, 0.2), GridValue(1, 10, 0.4)], "token accuracy")
    assert [text.get_text() for text in figure.axes[0].texts] == ["0.30"]


def test_a_line_parts_saturated_cells_from_the_rest():
    values = [GridValue(1, 10, 2.0), GridValue(2, 10, 0.5), GridValue(1, 20, 3.0), GridValue(2, 20, 2.0)]
    lines = heat_map(values, "final loss").axes[0].get_lines()
    assert [coordinates(line) for line in lines] == [[(-0.5, 0.5), (0.5, 0.5)], [(0.5, 0.5), (0.5, 1.5)]]
    assert not heat_map(values, "token accuracy").axes[0].get_lines()


def test_series_differ_in_grey_too():
    looks = [series(index) for index in range(len(SERIES))]
    assert len({look["color"] for look in looks}) == len({look["marker"] for look in looks}) == len(SERIES)
    assert len(set(MARKERS)) == len(MARKERS)


def test_the_same_figure_is_the_same_bytes(fit, tmp_path):
    first = save(predicted_against_measured([fit]), tmp_path / "a.b")
    second = save(predicted_against_measured([fit]), tmp_path / "again")
    assert [path.name for path in first] == ["a.b.svg", "a.b.png"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert "measured ΔL (nats)" in first[0].read_text(encoding="utf-8")


def test_drawing_leaves_matplotlib_as_it_was(fit):
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    residuals([fit])
    assert dict(mpl.rcParams) == before


def test_without_matplotlib_the_mend_is_told(fit, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r"pip install 'byheart\[report\]'"):
        predicted_against_measured([fit])


def test_an_album_holds_each_groups_figures(tmp_path):
    evidence = Evidence(tuple(observed(noise=0.01, group="../a")))
    rows = [
        {
            "status": "done",
            "task": cell.group,
            "lora_rank": cell.lora_rank,
            "num_answer_tokens": cell.num_answer_tokens,
            "nll_after_nats": cell.nll_after_nats,
            "token_accuracy": 0.5,
        }
        for cell in evidence.observations
    ]
    fits = fit_groups(evidence, "task", config=CONFIG)
    told: list[int] = []
    files = save_figures(
        fits, evidence, [*rows, {"status": "failed", "task": "../a"}], tmp_path / "figures", told.append
    )
    kinds = ("law", "final-loss", "token-accuracy")
    stems = {"predicted-against-measured", "residuals", *(f"a-{kind}" for kind in kinds)}
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {path.name for path in files}
    assert {path.stem for path in files} == stems
    assert sum(told) == num_figures(fits) == len(stems)
