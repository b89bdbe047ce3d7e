"""What growth.py and ablation.py say of runs that are there."""

# pyright: reportMissingImports=false

from dataclasses import fields

import ablation
import growth
import pytest

from byheart.config import RunConfig
from byheart.model.split import SplitModel

SHOWN = {
    "train_seconds": 9.0,
    "total_seconds": 20.0,
    "epochs": 20,
    "peak_bytes": 1,
    "peak_above_model_bytes": 1,
    "told_memory": "1 MB",
    "num_certified": 1,
    "lora_rank": 8,
    "bits_per_parameter": 0.1,
}


def run(num_records: int, seconds: float, *, exact_match: float = 1.0, on_disk: bool = False) -> dict:
    config = {"learn": growth.ON_DISK if on_disk else {}}
    return {"num_records": num_records, "seconds": seconds, "exact_match": exact_match, "config": config, **SHOWN}


def rows(*runs: dict) -> list[dict]:
    return [growth.row(growth.point_of(each), [each]) for each in runs]


@pytest.mark.parametrize(
    ("many", "told"),
    [
        (run(1000, 150.0), "holds: 1,000 records take 1.50 times the seconds a record that 100 take."),
        (run(1000, 151.0), "does not hold: 1,000 records take 1.51 times"),
        (run(1000, 150.0, exact_match=0.99), "does not hold: 1,000 records take 1.50 times"),
    ],
)
def test_the_bar_is_by_seconds_a_record_and_only_of_exact_runs(many, told):
    assert told in growth.verdict(rows(run(100, 10.0), many))


def test_a_run_on_disk_has_a_row_of_its_own_and_no_part_in_the_bar():
    made = rows(run(100, 10.0), run(1000, 100.0), run(1000, 900.0, on_disk=True))
    assert "1.00 times" in growth.verdict(made)
    assert "| 1,000, activations on disk | 900.0 | 0.900 |" in growth.table(made)


def test_of_several_runs_a_row_has_the_median_time_and_the_worst_recall():
    [row] = [growth.row((100, False), [run(100, 1.0), run(100, 2.0, exact_match=0.9), run(100, 9.0)])]
    assert (row["seconds"], row["exact_match"]) == (2.0, 0.9)


def test_every_saving_that_is_left_out_is_a_setting_or_a_field_there_is():
    names = {each.name for each in fields(SplitModel)}
    for name, saving in ablation.SAVINGS.items():
        RunConfig.build(saving.config)
        assert saving.exchanged.keys() <= names
        changes = [saving.config, saving.exchanged, saving.attends_as_long]
        assert sum(map(bool, changes)) == (name != ablation.EVERYTHING)
