from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from byheart.artifacts import write_json
from byheart.certification.dynamics import RecordDynamics
from byheart.errors import ArtifactError
from byheart.law.config import FitConfig
from byheart.law.fits import LawFits, fit_groups
from byheart.law.observation import from_rows
from byheart.report import cell_curves as curves_module
from byheart.report import course_curves as courses_module
from byheart.report.blocks import Charts, Facts, HeatMaps, Listing, Page, Prose, Table
from byheart.report.cell_curves import cell_curves, curve
from byheart.report.course_curves import thinned
from byheart.report.html import data, html
from byheart.report.sweep_files import SweepFiles
from byheart.report.sweep_page import sweep_page
from byheart.sweep.course import Course
from byheart.sweep.results import CELLS, KIND, SCHEMA_VERSION, TOKENS_FILE, write_grid, write_table
from laws_for_tests import LAW, observation, observed
from sweeps_for_tests import NUMBERS

UNTOLD = dict.fromkeys(("error", "attempts", "model", "base_weights_sha256", "dtype", "device", "num_threads"))


def rows_of(cells: Any) -> list[dict[str, Any]]:
    """Rows of a results table, as the law's tests make their cells."""
    return [
        {
            **UNTOLD,
            "byheart_version": "0.1.0",
            "cell": cell.name,
            "status": "done",
            "task": cell.group,
            "method": "sft",
            "placement": "20/down_proj",
            "seed": 1,
            "lora_rank": cell.lora_rank,
            "num_parameters": cell.num_parameters,
            "num_records": 1,
            "num_answer_tokens": cell.num_answer_tokens,
            "nll_before_nats": cell.nll_before_nats,
            "nll_after_nats": cell.nll_after_nats,
            "nll_drop_nats": cell.nll_drop_nats,
            "token_accuracy": 0.5,
            "exact_match": float(cell.nll_after_nats < 0.1),
            "num_certified": 0,
            "min_probability": 0.1,
            "earliest_stubborn_position": 0,
            "first_failure_position": 0,
            "epochs": 9,
            "stop_reason": "budget",
            "has_converged": cell.has_converged,
            "seconds": 1.0,
            "train_seconds": 1.0,
            "task.random_ratio": 1.0,
        }
        for cell in cells
    ]


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    """A grid of cells that obey a law, a saturated one and one that had not settled."""
    odd = [observation(32, 20, 79.9), observation(32, 400, 3.0, has_converged=False)]
    return rows_of([*observed(noise=0.02), *odd])


@pytest.fixture(scope="module")
def fits(rows: list[dict[str, Any]]) -> LawFits:
    """The law fitted to them."""
    return fit_groups(from_rows(rows), "task", config=FitConfig(num_resamples=50))


@pytest.fixture(scope="module")
def files(rows: list[dict[str, Any]], fits: LawFits) -> SweepFiles:
    """The sweep, with the tokens and epochs of some cells."""
    record = RecordDynamics(p=(0.9, 0.4, 0.2), token_rank=(1, 1, 2), first_failure_position=2)
    courses = {row["cell"]: Course((80.0, 40.0 + index), (20, index)) for index, row in enumerate(rows[:5])}
    return SweepFiles("probe", rows, fits, {rows[3]["cell"]: (record,)}, courses, has_grid=True)


def blocks(page: Page, kind: type) -> list[Any]:
    return [block for section in page.sections for block in section.blocks if isinstance(block, kind)]


def test_the_page_tells_of_cells_and_law(files):
    page = sweep_page(files)
    assert page.is_good
    assert page.sentence.startswith("27 of 27 cells ran to their end, 1 with every record recalled; ΔL = ")
    assert f"R² {files.fits.fits[0].quality.r_squared:.3f} over 25 cells." in page.sentence
    titles = [section.title for section in page.sections]
    assert titles == [
        "Summary",
        "The law",
        "Size and length",
        "Convergence",
        "Probabilities by position",
        "Token dynamics",
        "Cells",
        "How it was made",
    ]


def test_the_constants_come_with_their_intervals(files):
    [constants] = (table for table in blocks(sweep_page(files), Table) if table.title.startswith("Constants"))
    [row] = constants.rows
    fit = files.fits.fits[0]
    assert row[1] == f"{fit.law.coefficient:.3g}  ({fit.intervals['coefficient']})"
    assert row[constants.columns.index("left out")] == 2


def test_lines_are_the_laws_and_points_are_the_cells(files):
    [law] = (charts for charts in blocks(sweep_page(files), Charts) if charts.title == "ΔL over size and length")
    over_size = law.views["random: over size"]
    fit = files.fits.fits[0]
    lines = {series.name: series.points for series in over_size.series if series.look == "line"}
    size, drop_nats = lines["100"][5]
    assert drop_nats == pytest.approx(float(fit.law.unclipped_nats(size, 100)), rel=1e-4)
    over_length = law.views["random: over length"]
    length, drop_nats = next(series for series in over_length.series if series.name == "4").points[5]
    assert drop_nats == pytest.approx(float(fit.law.unclipped_nats(4, length)), rel=1e-4)
    points = [point for series in over_size.series if series.look == "points" for point in series.points]
    assert len(points) == 25
    hollow = [point for series in over_size.series if series.look == "hollow" for point in series.points]
    assert [(point[0], round(point[1], 1)) for point in hollow] == [(32, 79.9)]
    sizes = {name for name in lines if name != "20"}
    assert sizes == {f"{length}" for length in (25, 50, 100, 200, 400)}


def test_predictions_stand_against_measurements(files):
    [charts] = (charts for charts in blocks(sweep_page(files), Charts) if charts.title == "Predicted against measured")
    [named] = (series for series in charts.views["predicted"].series if series.name)
    assert [point[:2] for point in named.points] == [
        (cell.nll_drop_nats, cell.predicted_nats) for cell in files.fits.fits[0].cells
    ]


def test_what_is_left_over_stands_over_size_and_over_length(files):
    [charts] = (charts for charts in blocks(sweep_page(files), Charts) if charts.title == "What is left over")
    fit = files.fits.fits[0]
    for view, at in (("over size", "lora_rank"), ("over length", "num_answer_tokens")):
        [named] = (series for series in charts.views[view].series if series.name)
        assert [point[:2] for point in named.points] == [(getattr(cell, at), cell.residual_nats) for cell in fit.cells]
        assert [rule.y for rule in charts.views[view].rules] == [0]


def test_each_cell_that_kept_its_epochs_is_a_line(files, rows):
    [charts] = (charts for charts in blocks(sweep_page(files), Charts) if charts.title.startswith("Convergence"))
    assert list(charts.views) == ["loss: random", "stubborn tokens: random"]
    loss, share = charts.views.values()
    first = f"rank 1, {rows[0]['num_answer_tokens']} tokens"
    assert loss.series[0].name == first
    assert loss.series[0].points == [(1, 80.0), (2, 40.0)]
    assert share.series[1].points == [(1, 20 / rows[1]["num_answer_tokens"]), (2, 1 / rows[1]["num_answer_tokens"])]
    assert [series.shade for series in loss.series] == [0, 0.25, 0.5, 0.75, 1]
    assert [rule.y for rule in loss.rules] == [math.log(2)]
    assert any(block.text.startswith("22 cells have no curve") for block in blocks(sweep_page(files), Prose))


def test_repeats_are_told_apart_by_their_seed(files):
    first = files.rows[0]
    twice = replace(files, rows=[first, {**first, "cell": "again", "seed": 2}], fits=None)
    courses = {first["cell"]: Course((1.0,), (1,)), "again": Course((1.0,), (1,))}
    page = sweep_page(replace(twice, courses=courses))
    [charts] = (charts for charts in blocks(page, Charts) if charts.title.startswith("Convergence"))
    names = [series.name for series in charts.views["loss: random"].series]
    assert names == ["rank 1, 25 tokens, seed 1", "rank 1, 25 tokens, seed 2"]


def test_lines_that_have_no_room_are_counted_and_long_ones_are_thinned(files, rows, monkeypatch):
    monkeypatch.setattr(courses_module, "MOST_LINES", 1)
    long = Course(tuple(float(value) for value in range(1000)), tuple(range(1000)))
    page = sweep_page(replace(files, courses={row["cell"]: long for row in rows[:3]}))
    [charts] = (charts for charts in blocks(page, Charts) if charts.title.startswith("Convergence"))
    [line] = charts.views["loss: random"].series
    assert [x for x, _ in line.points] == [at + 1 for at in thinned(1000)]
    assert (line.points[0], line.points[-1], len(line.points)) == ((1, 0.0), (1000, 999.0), 200)
    assert any(block.text.startswith("The curves of 2 further cells") for block in blocks(page, Prose))


def test_cells_of_an_earlier_byheart_have_no_curves_and_the_page_says_so(rows):
    page = sweep_page(SweepFiles("probe", rows, None, {}))
    assert not any(charts.title.startswith("Convergence") for charts in blocks(page, Charts))
    assert any(block.text.startswith("27 cells have no curve: an earlier byheart") for block in blocks(page, Prose))


def test_how_it_was_made_names_versions_and_commands(files):
    told = [{**row, "torch_version": "2.9.0", "transformers_version": "5.1.0"} for row in files.rows]
    page = sweep_page(replace(files, rows=told))
    facts = dict(blocks(page, Facts)[-1].rows)
    assert (facts["torch version"], facts["transformers version"]) == ("2.9.0", "5.1.0")
    [listing] = blocks(page, Listing)
    assert listing.text.splitlines() == [
        "byheart sweep grid.yaml --out again",
        "byheart fit again --by task --axis lora_rank",
    ]


def test_an_older_sweep_says_what_it_does_not_know(files):
    page = sweep_page(replace(files, has_grid=False))
    assert "torch version" not in dict(blocks(page, Facts)[-1].rows)
    assert [listing.text for listing in blocks(page, Listing)] == ["byheart fit . --by task --axis lora_rank"]
    assert any("grid is not kept" in block.text for block in blocks(page, Prose))


def test_heat_maps_have_a_view_for_each_quantity_and_group(rows):
    other = rows_of(observed(LAW, ranks=(1, 2), lengths=(25,), group="phonebook"))
    twice = [*rows, {**rows[0], "seed": 2, "nll_after_nats": rows[0]["nll_after_nats"] + 1}, *other]
    [maps] = blocks(sweep_page(SweepFiles("p", twice, None, {})), HeatMaps)
    assert "token accuracy: phonebook" in maps.views
    loss = maps.views["final loss (nats): random"]
    assert loss.columns == [20, 25, 50, 100, 200, 400]
    assert loss.rows == [1, 2, 4, 8, 16, 32]
    assert loss.values[0][1] == pytest.approx(rows[0]["nll_after_nats"] + 0.5), "two seeds are averaged"
    assert loss.values[0][0] is None
    assert loss.bar == math.log(2)


def test_cells_that_had_not_settled_are_named(files):
    [table] = (table for table in blocks(sweep_page(files), Table) if "not settled" in table.title)
    assert [row[0] for row in table.rows] == ["random-32-400"]


def test_without_a_law_the_page_says_how_to_get_one(rows):
    page = sweep_page(SweepFiles("probe", rows, None, {}))
    assert any("byheart fit" in block.text for block in blocks(page, Prose))
    assert not page.sentence.count("R²")


def test_a_sweep_of_failures_alone_has_a_page(rows):
    failed = [{**dict.fromkeys(rows[0]), "cell": "x", "status": "failed", "error": "no memory", "task": "random"}]
    page = sweep_page(SweepFiles("probe", failed, None, {}))
    assert not page.is_good
    assert page.sentence == "0 of 1 cells ran to their end, 0 with every record recalled."
    assert "no memory" in data(page)


def test_a_curve_marks_what_is_stubborn_and_where_the_run_fails():
    one = RecordDynamics(p=(0.9, 0.4, 0.2), token_rank=(1, 1, 2), first_failure_position=2)
    chart = curve([one])
    stubborn = next(series for series in chart.series if series.look == "points")
    assert [point[:2] for point in stubborn.points] == [(2, 0.4), (3, 0.2)]
    assert [(rule.label, rule.x) for rule in chart.rules] == [("0.5", None), ("i*", 3)]
    two = curve([one, one])
    assert [rule.label for rule in two.rules] == ["0.5"]
    rings = next(series for series in two.series if series.look == "ring")
    assert [x for x, *_ in rings.points] == [3, 6]


def test_curves_that_have_no_room_are_counted(files, rows, monkeypatch):
    record = RecordDynamics(p=(0.9,) * 60, token_rank=(1,) * 60, first_failure_position=None)
    monkeypatch.setattr(curves_module, "MOST_TOKENS", 130)
    many = SweepFiles("probe", rows, None, {row["cell"]: (record,) for row in rows[:5]})
    *_, charts, left = cell_curves(many.done, many.records)
    assert isinstance(charts, Charts)
    assert len(charts.views) == 2
    assert isinstance(left, Prose)
    assert left.text.startswith("The curves of 3 further cells")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A sweep's directory with one cell of two records, whose free runs failed once."""
    from byheart.config import RunConfig
    from byheart.sweep.cell import CellResult

    result = CellResult(
        fingerprint="a" * 64,
        status="done",
        error=None,
        traceback=None,
        attempts=1,
        run=RunConfig().model_dump(mode="json"),
        task={"name": "phonebook"},
        axes={},
        num_records=2,
        num_answer_tokens=5,
        byheart_version="0.1.0",
        measured=NUMBERS,
    )
    folder = tmp_path / CELLS / result.name
    write_json(folder / "result.json", KIND, SCHEMA_VERSION, result.model_dump(mode="json"))
    tokens = {
        "p": np.array([0.9, 0.3, 0.8, 0.7, 0.6], np.float32),
        "token_rank": np.array([1, 2, 1, 1, 1], np.int32),
        "num_tokens": np.array([3, 2], np.int32),
        "first_failure": np.array([1, -1], np.int32),
    }
    tokens |= {"epoch_nll_nats": np.array([3.0], np.float32), "epoch_stubborn_tokens": np.array([4], np.int32)}
    save_file(tokens, folder / TOKENS_FILE)
    write_grid(tmp_path, "task: {name: phonebook}\n")
    write_table(tmp_path, [result])
    return tmp_path


def test_the_files_of_a_sweep_are_read_record_by_record(directory):
    read: list[int] = []
    files = SweepFiles.read(directory, read.append)
    [[first, second]] = files.records.values()
    assert first.p == pytest.approx((0.9, 0.3, 0.8))
    assert (first.token_rank, first.first_failure_position) == ((1, 2, 1), 1)
    assert (second.token_rank, second.first_failure_position) == ((1, 1), None)
    assert files.fits is None
    assert sum(read) == 1
    assert list(files.courses.values()) == [Course((3.0,), (4,))]
    assert files.has_grid
    assert json.loads(data(sweep_page(files)))["title"] == directory.name


def test_a_directory_without_a_table_is_refused(tmp_path):
    with pytest.raises(ArtifactError, match="does not exist"):
        SweepFiles.read(tmp_path)


def test_the_page_works_in_the_browser(opened, files):
    tab = opened(sweep_page(files), width=390, height=844).tab
    tab.wait_for_selector(".plot")
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    tab.focus(".plot >> nth=0")
    tab.keyboard.press("Home")
    tab.wait_for_function(
        "text => document.querySelector('#tip').innerText.includes(text)", arg="saturated, not fitted", timeout=10_000
    )
    tab.keyboard.press("ArrowDown")
    tab.wait_for_function(
        "text => document.querySelector('#tip').innerText.includes(text)",
        arg="answer tokens ℓ 25\nlaw ",
        timeout=10_000,
    )
    tab.wait_for_function(
        "text => document.querySelector('#tip').innerText.includes(text)", arg="cell random-", timeout=10_000
    )
    tab.select_option("select >> nth=0", "random: over length")
    tab.wait_for_selector(".plot[aria-label^='ΔL over size and length, random: over length']", timeout=10_000)
    assert tab.locator(".heat td.barred").count() == 1


def test_equal_sweeps_are_equal_files(files):
    assert html(sweep_page(files)) == html(sweep_page(files))
