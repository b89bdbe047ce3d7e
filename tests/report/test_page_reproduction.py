"""A reproduction's page: made of cells whose numbers are known, and looked at in a real browser."""

from __future__ import annotations

import doctest
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from byheart.errors import ArtifactError
from byheart.paper.exhibits import EXHIBITS
from byheart.paper.preset import ExperimentName
from byheart.paper.writing import Origin, write
from byheart.report import reproduction_page as module
from byheart.report.blocks import Charts, Figure, HeatMaps, Page, Prose, Table
from byheart.report.html import data
from byheart.report.reproduction_files import MARKER_FILE, ReproductionFiles
from byheart.report.reproduction_page import reproduction_page
from byheart.sweep.cell import CellResult
from byheart.sweep.progress import Silent
from byheart.sweep.results import write_table
from reproductions_for_tests import cell_result, failed, findings_of, tokens_of

METHODS = ("sft", "memft-ot", "memft-sw")
HOSTILE = "</script><script>alert(1)</script>"


def long_text(rank: int, length: int, method: str = "sft") -> CellResult:
    """A cell on ΔL = 26·r^0.6·ℓ^-0.5 + 0.3; MemFT knows a fifth more."""
    drop_nats = 26 * rank**0.6 * length**-0.5 + 0.3
    accuracy = min(0.1 * rank + (0 if method == "sft" else 0.2), 1.0)
    numbers: dict[str, Any] = {"nll_before_nats": 13.0, "nll_after_nats": 13.0 - drop_nats, "token_accuracy": accuracy}
    task = {"name": "long-context", "num_answer_tokens": length, "random_ratio": 1.0}
    return cell_result(task, method, rank, num_answer_tokens=length, **numbers)


def book(method: str, rank: int, seed: int, exact_match: float) -> CellResult:
    task = {"name": "phonebook", "num_answer_tokens": 20}
    return cell_result(task, method, rank, seed, num_answer_tokens=20, exact_match=exact_match)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All tables and figures of cells that nobody ran, one of which failed with an error that is no text to obey."""
    law = [long_text(rank, length) for rank in (1, 2, 4) for length in (40, 80, 160)]
    texts = [*law[::3], *(long_text(rank, 40, method) for rank in (1, 2, 4) for method in METHODS[1:])]
    broken = failed(book("sft", 32, 1, 0.0)).model_copy(update={"error": HOSTILE})
    gains = {"sft": 0.0, "memft-ot": 0.3, "memft-sw-curriculum": 0.1}
    equal = [
        book(name, rank, seed, 0.1 * rank + gain) for name, gain in gains.items() for rank in (1, 2) for seed in (1, 2)
    ]
    rule = [
        cell_result({"name": "linear-rule", "num_pairs": 4, "num_unseen": 2}, name, 1, unseen_exact_match=share)
        for name, share in zip(METHODS, (0.5, 1.0), strict=False)
    ]
    scenarios = cell_result({"name": "scenarios"}, "memft-ot", 16)
    results: dict[ExperimentName, list[CellResult]] = {
        "law": law,
        "long-context": texts,
        "phonebook": [equal[0], broken],
        "phonebook-equal": equal,
        "linear-rule": rule,
        "scenarios": [scenarios],
        "convergence": equal,
    }
    tokens = {cell.name: tokens_of([0.9, 0.45] * 10 + [0.2] + [0.8] * 19) for cell in (*law, *texts)}
    tokens[scenarios.name] = tokens_of(*[[0.9, 0.8]] * 8)
    curve = tokens_of([0.9, 0.8], epochs=[(5.0 / epoch, 18 // epoch) for epoch in range(1, 10)])
    tokens |= {cell.name: curve for cell in equal}
    tokens |= {
        cell.name: tokens_of([0.9], unseen=[[0.9], [second]]) for cell, second in zip(rule, (0.2, 0.9), strict=True)
    }
    out = tmp_path_factory.mktemp("reproduction")
    findings = findings_of(out, results, tokens)
    write_table(out / "sweep", {cell.name: cell for cells in results.values() for cell in cells}.values())
    made = write(list(EXHIBITS), findings, Origin("made/by hand.yaml", None), Silent(), lambda: False)
    assert made.missing == ()
    return out


@pytest.fixture(scope="module")
def page(directory: Path) -> Page:
    return reproduction_page(ReproductionFiles.read(directory))


def blocks(page: Page, kind: type) -> list[Any]:
    return [block for section in page.sections for block in section.blocks if isinstance(block, kind)]


def section(page: Page, title: str) -> Page:
    """The page with one of its sections alone."""
    return Page("", "", True, [each for each in page.sections if each.title.startswith(title)])


def test_the_page_tells_what_was_found_and_shows_every_exhibit(page):
    assert [each.title for each in page.sections] == [
        "Summary",
        "Findings",
        "Tables",
        "Figure 2: the law",
        "Figure 3: token dynamics",
        "Figures 4–6: accuracy by method",
        "Figures 7–9: convergence by method",
        "Figures 10–13: p by position",
        "Cells",
        "How it was made",
    ]
    assert page.sentence.startswith("11 of the paper's tables and figures, by preset by hand.yaml: 30 of 31 cells ran")
    assert "the law fits with R² 1.000; of 12 claims 4 hold, 8 are open." in page.sentence
    assert not page.is_good, "a cell failed"


def test_tables_have_the_published_numbers_beside_ours_and_their_notes(page, directory):
    tables = {table.title.split(":")[0]: table for table in blocks(section(page, "Tables"), Table)}
    assert list(tables) == [*(f"Table {number}" for number in range(1, 7)), "Figure 3"]
    table = tables["Table 3"]
    columns = [table.columns.index(name) for name in ("ours", "published")]
    assert [[row[at] for at in columns] for row in table.rows][2:] == [[50.0, 19.0], [100.0, 34.0]]
    assert any(note.startswith("from, to: 95 % interval over seeds") for note in table.notes)
    whole = ReproductionFiles.read(directory).contents.exhibits["table1"].tables[0].rows[0]
    assert tables["Table 1"].rows[0][5] == round(float(whole[5] or 0), 2), "rounded as in print"


def test_figures_are_the_pages_own_where_their_cells_are_there(page):
    landscapes = blocks(section(page, "Figures 4–6"), HeatMaps)[0].views
    [[first], [second], [third]] = landscapes["token accuracy, long-context, 100 % random: memft-ot"].values
    assert (first, second, third) == pytest.approx((0.3, 0.4, 0.6))
    assert landscapes["exact match, phonebook: sft"].rows == [1, 2]
    [convergence] = blocks(section(page, "Figures 7–9"), Charts)
    shares = convergence.views["stubborn tokens: sft"]
    assert [series.name for series in shares.series] == [
        f"rank {rank}, 20 tokens, seed {seed}" for rank in (1, 2) for seed in (1, 2)
    ]
    assert shares.series[0].points[:2] == [(1, 0.9), (2, 0.45)]
    titles = [charts.title for charts in blocks(section(page, "Figure 3"), Charts)]
    assert titles[:2] == ["Earliest stubborn token against i*", "Where free runs fail"]
    heat = blocks(section(page, "Figure 2"), HeatMaps)[0].views
    assert heat["final loss (nats): long texts, all ratios"].columns == [40, 80, 160]
    grid = blocks(section(page, "Figures 10–13"), Charts)[0].views
    assert len(grid) == 15


def test_the_grid_is_there_at_a_glance_as_printed(page):
    assert [figure.title for figure in blocks(page, Figure)] == ["Figure 10", "Figure 11", "Figure 12"]


def test_without_its_cells_a_page_shows_the_figures_as_printed(directory, tmp_path):
    kept = shutil.copytree(directory, tmp_path / "kept", ignore=shutil.ignore_patterns("sweep", "law.json"))
    page = reproduction_page(ReproductionFiles.read(kept))
    names = {figure.title for figure in blocks(page, Figure)}
    assert {"Figure 2a: long context", "Figure 2b", "Figure 3", "Figure 4", "Figure 7", "Figure 10"} <= names
    assert not blocks(page, Charts)
    assert len(blocks(section(page, "Tables"), Table)) == 7


def test_pictures_that_would_make_a_page_too_large_are_counted(directory, monkeypatch):
    monkeypatch.setattr(module, "MOST_PICTURE_BYTES", 1000)
    page = reproduction_page(ReproductionFiles.read(directory))
    assert not blocks(page, Figure)
    assert any(prose.text.startswith("3 printed figures are too large") for prose in blocks(page, Prose))


def changed(directory: Path, change: Callable[[dict[str, Any]], None]) -> None:
    content = json.loads((directory / MARKER_FILE).read_text())
    change(content)
    (directory / MARKER_FILE).write_text(json.dumps(content))


def test_a_picture_outside_the_directory_is_refused(directory, tmp_path):
    kept = shutil.copytree(directory, tmp_path / "kept")
    (tmp_path / "secret.svg").write_text("<svg/>")
    changed(kept, lambda content: content["exhibits"]["figure10-13"].update(files=["../secret.svg"]))
    with pytest.raises(ArtifactError, match=r"is no file of .*; the same 'byheart reproduce' again draws it"):
        reproduction_page(ReproductionFiles.read(kept))


def test_an_older_marker_says_how_it_is_made_anew(directory, tmp_path):
    kept = shutil.copytree(directory, tmp_path / "kept")
    changed(kept, lambda content: content.pop("findings"))
    with pytest.raises(ArtifactError, match="of an older byheart; the same 'byheart reproduce' again writes it anew"):
        ReproductionFiles.read(kept)


def test_the_page_works_in_the_browser_on_a_phone_and_a_hostile_error_does_nothing(opened, page):
    tab = opened(page, width=390, height=844).tab
    tab.wait_for_selector(".plot")
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    assert HOSTILE in tab.inner_text("#main")
    assert tab.locator("script").count() == 2
    assert tab.locator(".picture img").evaluate_all("all => Promise.all(all.map((each) => each.decode()))") is not None
    tab.select_option("select[aria-label*='Convergence']", "stubborn tokens: memft-ot")
    plot = tab.locator(".plot[aria-label*='stubborn tokens: memft-ot']")
    plot.focus()
    tab.keyboard.press("End")
    tab.wait_for_function(
        "text => document.querySelector('#tip').innerText.includes(text)",
        arg="rank 1, 20 tokens, seed 1",
        timeout=10_000,
    )
    assert tab.locator(".notes li").count() > 10


def test_the_page_holds_no_record_and_equal_reproductions_are_equal_pages(page, directory):
    assert data(page) == data(reproduction_page(ReproductionFiles.read(directory)))
    assert "/made" not in data(page)


def test_the_example_in_the_module():
    assert doctest.testmod(module).failed == 0
