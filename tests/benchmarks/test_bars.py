"""The verdicts of the race."""

# pyright: reportMissingImports=false

import pytest
import time_to_exact
from bars import times, verdict


def side(name: str, seconds: float, *, is_exact: bool = True, peak_bytes: float = 1e9, **more):
    numbers = {"side": name, "seconds": seconds, "is_exact": is_exact, "peak_bytes": peak_bytes, "notes": {}}
    return {**numbers, "was_cut_off": not is_exact, "can_be_exact": True, **more}


def told(*rows, num_records: int = 100) -> list[str]:
    return verdict(list(rows), num_records).splitlines()


@pytest.mark.parametrize(("name", "line", "least"), [("trl", 0, 15), ("trainer", 1, 5), ("authors", 2, 10)])
def test_a_bar_holds_from_its_multiple_on(name, line, least):
    ours = side("byheart", 10.0)
    assert ": holds" in told(ours, side(name, 10.0 * least))[line]
    assert ": does not hold" in told(ours, side(name, 9.99 * least))[line]


def test_sides_that_were_not_run_are_said_to_be():
    lines = told(side("byheart", 10.0), side("trainer", 100.0))
    assert [line.endswith("not run.") for line in lines] == [True, False, True, True]


def test_a_side_that_was_not_exact_can_show_that_a_bar_holds_and_not_that_it_does_not():
    ours = side("byheart", 10.0)
    assert ": holds, not exact yet" in told(ours, side("trl", 200.0, is_exact=False))[0]
    assert ": open, not exact yet" in told(ours, side("trl", 100.0, is_exact=False))[0]


@pytest.mark.parametrize(("more", "said"), [({"was_cut_off": False}, "own budget"), ({"can_be_exact": False}, "yet")])
def test_settings_that_never_are_exact_show_nothing(more, said):
    line = told(side("byheart", 10.0), side("trl", 900.0, is_exact=False, **more))[0]
    assert ": open, not exact" in line and said in line


def test_what_byhearts_own_looks_take_is_told_beside():
    ours = side("byheart", 10.0, notes={"seconds_with_looks": 15.0})
    assert "20.0 times (13.3 with byheart's own looks counted)." in told(ours, side("trl", 200.0))[0]


def test_a_run_was_cut_off_where_it_was_told_to_end_before_its_own_budget_did():
    job = {"max_epochs": None, "max_seconds": None, "settings": {"epochs": 25}}
    run = {"job": job, "is_exact": False, "epochs": 25, "seconds": 99.0}
    assert not time_to_exact._was_cut_off(run)
    assert time_to_exact._was_cut_off({**run, "epochs": 20, "job": {**job, "max_epochs": 20}})
    assert time_to_exact._was_cut_off({**run, "job": {**job, "max_seconds": 90.0}})
    assert not time_to_exact._was_cut_off({**run, "job": {**job, "max_epochs": 25}})
    assert not time_to_exact._was_cut_off({**run, "is_exact": True, "job": {**job, "max_seconds": 90.0}})


def test_a_grid_of_sides_without_settings_to_choose_is_refused(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["time_to_exact.py", "--grid", "--sides", "byheart,authors"])
    with pytest.raises(SystemExit):
        time_to_exact.main()
    assert "none of these sides has settings to choose from" in capsys.readouterr().err


def test_peak_memory_is_beside_trls_alone():
    ours = side("byheart", 10.0, peak_bytes=2e9)
    assert ": does not hold" in told(ours, side("trl", 200.0, peak_bytes=1e9), side("trainer", 99.0, peak_bytes=9e9))[3]
    assert ": holds" in told(ours, side("trl", 200.0, peak_bytes=2e9))[3]


def test_a_race_of_other_records_or_without_byheart_exact_meets_no_bar():
    assert "not measured" in told(side("byheart", 1.0), side("trl", 99.0), num_records=20)[0]
    assert "not measured" in told(side("trl", 99.0))[0]
    assert "No bar holds" in told(side("byheart", 1.0, is_exact=False), side("trl", 99.0))[0]


def test_multiples_of_what_did_not_end_are_lower_bounds():
    ours = side("byheart", 10.0)
    assert times(side("trl", 25.0), ours) == "2.5"
    assert times(side("trl", 25.0, is_exact=False), ours) == "> 2.5"
    assert times(side("trl", 25.0), side("byheart", 10.0, is_exact=False)) == ""


def test_a_grid_names_its_points_that_were_not_run():
    settings = {"lora_rank": 16, "learning_rate": 2e-3, "scheduler": "linear", "epochs": 25, "batch_size": 10}
    numbers = {"epochs": 20, "seconds": 1.0, "cpu_seconds": 1.0, "peak_bytes": 1, "best_num_exact": 100}
    run = {"job": {"side": "trl", "settings": settings}, "is_exact": True, "best_epoch": 20, **numbers}
    text = time_to_exact.grid_text([run])
    assert text.count("learning_rate 0.002") == 3  # the run, and rank 8 with two falls of the rate
    assert "lora_rank 8" in text and "learning_rate 0.004" in text
