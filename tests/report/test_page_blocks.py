"""Charts, tables, heat maps and pictures in a real browser. That nothing goes wrong, `opened` holds in every test."""

import base64

import pytest

from byheart.report.blocks import Axis, Chart, Charts, Figure, HeatMap, HeatMaps, Page, Section, Series, Table


def test_a_chart_answers_to_mouse_and_keys_and_is_there_as_a_table(opened):
    series = [
        Series("first", [(1, 10, "a note"), (2, 20), (3, 15)], "points"),
        Series("second", [(1, 5), (2, 6)], "line", 1),
    ]
    chart = Chart(Axis("epoch"), Axis("loss (nats)"), series)
    tab = opened(Page("c", "c", True, [Section("c", [Charts("Curve", {"one": chart, "two": chart})])])).tab
    tab.focus(".plot")
    tab.keyboard.press("End")
    assert tab.inner_text("#tip").split("\n")[0] == "first"
    assert "3" in tab.inner_text("#tip")
    tab.keyboard.press("ArrowDown")
    assert "second" in tab.inner_text("#tip")
    box = tab.locator(".plot path.points").bounding_box()
    tab.mouse.move(box["x"] + 3, box["y"] + box["height"] - 3)
    assert "a note" in tab.inner_text("#tip")
    tab.click("summary")
    tab.wait_for_selector("details tbody tr", timeout=10_000)  # the table is made once it is opened
    assert tab.locator("details tbody tr").count() == 5
    tab.select_option("select", "two")
    assert tab.locator("details[open]").count() == 0
    tab.wait_for_selector(".plot[aria-label^='Curve, two.']", timeout=10_000)


def test_tables_sort_and_search_and_heat_maps_show_their_numbers(opened):
    rows = [[f"cell {index}", None if index == 3 else float(index % 7) + 0.5, index > 9] for index in range(40)]
    heat = HeatMap("ℓ", "r", [10, 20], [1, 2], [[0.1, None], [2.5, 12.0]], (12.0, 0.0), 0.69, "below")
    blocks = [Table("Cells", ["name", "loss", "late"], rows), HeatMaps("Heat", {"a": heat})]
    tab = opened(Page("t", "t", True, [Section("t", blocks)])).tab
    assert tab.locator(".data tbody tr").count() == 25
    tab.click("text=Show all 40")
    tab.click("th >> text=loss")
    assert tab.inner_text(".data tbody tr:first-child").split("\t") == ["cell 0", "0.5", "no"]
    assert "–" in tab.inner_text(".data tbody tr:last-child")
    tab.click("th >> text=loss")
    assert tab.locator("th[aria-sort=descending]").count() == 1
    tab.fill("input[type=search]", "cell 39")
    assert tab.locator(".data tbody tr").count() == 1
    assert [row.split() for row in tab.locator(".heat tbody tr").all_inner_texts()] == [
        ["2", "2.50", "12.0"],
        ["1", "0.10", "not", "measured"],
    ]
    assert tab.locator(".heat td.barred").all_inner_texts() == ["0.10"]


def test_a_figure_is_shown_without_being_asked_for(opened):
    size = "width='40' height='20'"
    style = "<style>rect{fill:red}</style>"
    svg = f"<svg xmlns='http://www.w3.org/2000/svg' {size}>{style}<rect {size}/></svg>"
    source = f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"
    tab = opened(Page("f", "f", True, [Section("f", [Figure("A rectangle", source, "red")])])).tab
    assert tab.locator("img[alt=red]").evaluate("image => image.decode().then(() => image.naturalWidth)") == 40


@pytest.mark.parametrize(
    ("low", "high", "is_count", "marks"),
    [
        (2.3, 3.3, False, ["2.4", "2.6", "2.8", "3", "3.2"]),
        (1, 3, True, ["1", "2", "3"]),
        (6e-4, 6e-2, False, ["0.0005", "0.001", "0.002", "0.005", "0.01", "0.02", "0.05"]),
        (2, 5000, True, ["10", "100", "1,000"]),
    ],
)
def test_a_logarithmic_axis_has_round_marks(opened, low, high, is_count, marks):
    chart = Chart(
        Axis("rank", ticks=()), Axis("y", "log", is_count=is_count), [Series("", [(1, low), (2, high)], "points")]
    )
    tab = opened(Page("a", "a", True, [Section("a", [Charts("A", {"one": chart})])])).tab
    assert tab.locator(".plot text:not(.axis-name)").all_text_contents() == marks
