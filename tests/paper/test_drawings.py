"""Which cells a figure is drawn of."""

from typing import Any

from byheart.paper.drawings import grid_figures, landscape_figures
from byheart.sweep.cell import CellResult
from reproductions_for_tests import cell_result, findings_of


def long_text(method: str = "sft", **task: Any) -> CellResult:
    return cell_result({"name": "long-context", "num_answer_tokens": 8, **task}, method)


def titles(figures) -> list[str]:
    return [figure.get_suptitle().split(";")[0] for figure in figures.values()]


def test_the_four_most_random_ratios_have_a_grid_each(tmp_path):
    cells = [long_text(random_ratio=ratio) for ratio in (0.8, 0.0, 1.0, 0.2, 0.6)]
    figures = grid_figures(findings_of(tmp_path, {"law": cells}))
    assert list(figures) == ["figure10", "figure11", "figure12", "figure13"]
    assert titles(figures) == [f"Long texts, {percent} % random, SFT" for percent in (20, 60, 80, 100)]


def test_where_ratios_are_fewer_the_forms_of_memft_have_the_rest(tmp_path):
    plain = [long_text(random_ratio=ratio) for ratio in (0.6, 1.0)]
    others = [long_text(method, random_ratio=ratio) for method in ("memft-ot", "memft-sw") for ratio in (0.6, 1.0)]
    figures = grid_figures(findings_of(tmp_path, {"law": plain, "long-context": [plain[1], *others]}))
    assert titles(figures) == [
        "Long texts, 60 % random, SFT",
        "Long texts, 100 % random, SFT",
        "Long texts, 60 % random, MemFT-OT",
        "Long texts, 100 % random, MemFT-OT",
    ]


def test_ratios_that_the_law_has_no_cells_of_are_the_methods_own(tmp_path):
    law = [long_text(random_ratio=ratio) for ratio in (0.6, 1.0)]
    methods = [long_text(method, random_ratio=ratio) for method in ("sft", "memft-ot") for ratio in (0.2, 1.0)]
    figures = grid_figures(findings_of(tmp_path, {"law": law, "long-context": methods}))
    assert titles(figures) == [
        *(f"Long texts, {percent} % random, SFT" for percent in (20, 60, 100)),
        "Long texts, 100 % random, MemFT-OT",
    ]


def test_texts_of_different_files_are_not_taken_for_repeats(tmp_path):
    cells = [long_text(source=f"data/r{number}.jsonl") for number in (100, 0, 20)]
    findings = findings_of(tmp_path, {"law": cells, "long-context": cells})
    assert titles(grid_figures(findings)) == [f"Long texts, r{number}, SFT" for number in (0, 20, 100)]
    [landscape] = landscape_figures(findings).values()
    panels = [axes.get_title(loc="left") for axes in landscape.axes if axes.get_title(loc="left")]
    assert panels == [f"r{number}\ntoken accuracy" for number in (0, 20, 100)]
