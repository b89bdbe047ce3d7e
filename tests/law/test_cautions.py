from typing import Any

from byheart.law.cautions import cautions

CELL = {
    "status": "done",
    "task": "long-context",
    "method": "sft",
    "dtype": "bfloat16",
    "placement.lora_rank": 1,
    "epochs": 200,
    "weights_epoch": 200,
}


def cells(**columns: Any) -> list[dict[str, Any]]:
    """One cell a value of the columns, which are lists of one length."""
    return [CELL | dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def test_cells_of_several_ranks_are_what_a_law_is_fitted_to():
    assert cautions(cells(**{"placement.lora_rank": [1, 2]}), "task") == []


def test_cells_that_differ_in_kind_are_named_with_the_columns_to_group_by():
    rows = cells(**{"method": ["sft", "memft-ot"], "task.source": ["r60.jsonl", "r100.jsonl"]})
    (told,) = cautions(rows, "task")
    assert "method (memft-ot, sft), task.source (r100.jsonl, r60.jsonl)" in told
    assert told.endswith("--by task,method,task.source")
    assert cautions(rows, "task,method,task.source") == []


def test_cells_of_two_machines_products_are_not_one_law_unsaid():
    (told,) = cautions(cells(dtype=["bfloat16", "float32"]), "task")
    assert "differ in dtype (bfloat16, float32)" in told


def test_many_values_are_counted_and_not_listed():
    (told,) = cautions(cells(**{"task.source": ["a", "b", "c", "d", "e"]}), "task")
    assert "(a, b, c, and 2 more)" in told


def test_a_failed_cell_speaks_of_nothing():
    assert cautions([CELL, {"status": "failed", "task": "long-context", "method": "memft-ot"}], "task") == []


def test_a_setting_that_only_some_cells_name_is_a_difference():
    (told,) = cautions(cells(**{"learn.epochs": [None, 400]}), "task")
    assert "learn.epochs (400, None)" in told


def test_what_a_kind_says_already_is_not_named_twice():
    (told,) = cautions(cells(**{"method": ["sft", "memft-ot"], "method.name": ["sft", "memft-ot"]}), "task")
    assert told.endswith("--by task,method")


def test_a_files_first_records_are_sizes():
    assert cautions(cells(**{"task.num_records": [10, 20]}), "task") == []


def test_cells_with_the_weights_of_an_earlier_epoch_are_counted():
    earlier = CELL | {"weights_epoch": 150}
    (told,) = cautions([CELL, earlier, earlier], "task")
    assert told.startswith("2 of 3 cells have the weights of an earlier epoch than their last")
