"""What the densest adapter is counted by."""

# pyright: reportMissingImports=false

import json
import math

import capacity
import pytest
from capacity_points import POINTS, QUICK_POINTS

from byheart.config import RunConfig


def row(point: str, bits_per_parameter: float, exact_match: float = 1.0):
    return {"point": point, "bits_per_parameter": bits_per_parameter, "exact_match": exact_match}


def test_ten_random_digits_hold_33_bits():
    assert capacity.digit_bits(["9100672710", "6780438158"]) == pytest.approx(2 * 33.2, rel=1e-3)
    assert capacity.digit_bits(["9100672710", "a"]) == math.inf


@pytest.mark.parametrize(("exact_match", "drawn", "bits"), [(1.0, 3322, 3322), (0.5, 3322, 1661), (0.0, math.inf, 0)])
def test_only_what_comes_back_counts(exact_match, drawn, bits):
    assert capacity.drawn_bits_of(exact_match, drawn) == bits


def test_the_densest_is_among_those_that_give_everything_back():
    rows = [row("random/a", 0.4), row("random/b", 0.9, 0.0), row("phonebook/c", 0.3), row("random/d", 0.2)]
    capacity.mark_densest(rows)
    assert [each["is_densest"] for each in rows] == [True, False, True, False]


def test_the_bar_is_of_the_points_that_were_meant_and_came_back():
    name = POINTS[0].name
    assert " is met" in capacity.verdict([row(name, 0.52)])
    assert "is open: 0.40" in capacity.verdict([row(name, 0.40), row(name, 0.9, 0.99)])
    assert "is open: no point gives everything back; 1 of" in capacity.verdict([row(name, 0.9, 0.99)])
    every = [row(point.name, 0.4) for point in POINTS]
    assert "is not met: 0.40" in capacity.verdict(every)
    assert " is met: 0.52" in capacity.verdict([*every[1:], row(name, 0.52)])
    assert "not measured" in capacity.verdict([row(QUICK_POINTS[0].name, 0.9)])


def test_what_is_there_is_gone_on_with_and_nothing_else_is_written_over(tmp_path):
    path, head, sources = tmp_path / "capacity.json", {"minutes": 20.0}, {"random": "r100.jsonl"}
    assert capacity.earlier(path, head, sources) == []
    rows = [row("phonebook/a", 0.4) | {"records": "contacts"}]
    path.write_text(json.dumps({**head, "rows": rows}))
    assert capacity.earlier(path, head, sources) == rows
    for other, others in (({"minutes": 10.0}, sources), (head, {"phonebook": "PB1000.jsonl"})):
        with pytest.raises(SystemExit, match="give another --out"):
            capacity.earlier(path, other, others)


def test_every_point_has_a_name_and_settings_of_its_own():
    points = [*POINTS, *QUICK_POINTS]
    assert len({point.name for point in points}) == len(points)
    for point in points:
        assert RunConfig.build(point.config).placement.lora_rank == point.lora_rank
        assert RunConfig.build(point.config).method.margin == point.margin


def test_every_method_and_a_rank_between_two_and_four_are_tried():
    assert {point.method for point in POINTS} == {"sft", "memft-ot", "memft-sw", "memft-sw-curriculum"}
    assert any(point.lora_rank == 3 for point in POINTS)


def test_the_picture_shows_every_point_and_the_bar(tmp_path):
    capacity.draw([row("random/24/v_proj", 0.4), row("random/20/v_proj", 0.9, 0.5)], tmp_path / "capacity.svg")
    drawn = (tmp_path / "capacity.svg").read_text(encoding="utf-8")
    assert "random, 24, v_proj" in drawn
    assert "0.90, exact 0.50" in drawn
