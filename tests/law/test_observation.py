import pytest

from byheart.errors import LawError, SettingsError
from byheart.law.observation import FailedCell, Observation, from_rows, group_of

ROW = {
    "cell": "c1",
    "status": "done",
    "error": None,
    "task": "phonebook",
    "seed": 1,
    "lora_rank": 4,
    "num_parameters": 8448,
    "num_answer_tokens": 110,
    "num_records": 10,
    "nll_before_nats": 5.0,
    "nll_after_nats": 1.5,
    "num_certified": 3,
    "has_converged": True,
}


def test_a_row_becomes_an_observation():
    evidence = from_rows([ROW])
    assert evidence.observations == (Observation("phonebook", 4, 8448, 110, 5.0, 1.5, 3, 10, True, "c1"),)
    assert evidence.observations[0].nll_drop_nats == 3.5
    assert evidence.failed == ()


def test_a_failed_row_keeps_its_group_and_error():
    row = dict.fromkeys(ROW) | {"cell": "c2", "status": "failed", "error": "out of memory", "task": "phonebook"}
    assert from_rows([row]).failed == (FailedCell("phonebook", "c2", "out of memory"),)


def test_rows_are_grouped_by_several_columns():
    rows = [ROW, ROW | {"seed": 2, "cell": "c2"}, ROW | {"seed": 2, "cell": "c3"}]
    evidence = from_rows(rows, "task,seed")
    assert evidence.groups == ("phonebook, 1", "phonebook, 2")
    assert [cell.name for cell in evidence.of("phonebook, 2").observations] == ["c2", "c3"]


def test_an_unknown_column_to_group_by_is_told_those_there_are():
    with pytest.raises(SettingsError, match=r"'tsk' \(did you mean 'task'\?\); allowed: cell, status, error, task"):
        group_of(ROW, "tsk")


def test_a_table_without_rows_is_refused():
    with pytest.raises(LawError, match="run the sweep first"):
        from_rows([])


def test_a_table_without_a_column_that_is_needed_is_refused():
    row = {name: value for name, value in ROW.items() if name != "has_converged"}
    with pytest.raises(LawError, match="no column 'has_converged'"):
        from_rows([row])


def test_a_cell_that_is_done_but_not_measured_is_refused():
    with pytest.raises(LawError, match="cell c1: nll_after_nats is empty"):
        from_rows([ROW | {"nll_after_nats": None}])


def test_an_unknown_status_is_refused():
    with pytest.raises(LawError, match="unknown status 'running'; allowed: done, failed"):
        from_rows([ROW | {"status": "running"}])


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"lora_rank": 0}, "lora_rank is 0, expected 1 or more"),
        ({"num_answer_tokens": -3}, "num_answer_tokens is -3"),
        ({"nll_after_nats": float("nan")}, "nll_after_nats is nan, expected a finite number"),
        ({"nll_before_nats": -1.0}, "nll_before_nats is -1.0"),
    ],
)
def test_what_no_cell_can_measure_is_refused(changes, told):
    with pytest.raises(LawError, match=f"cell c1: {told}"):
        from_rows([ROW | changes])
