import sys
from pathlib import Path

import pytest

from byheart.errors import RecordsError
from byheart.memory.records import Memory


@pytest.fixture
def datasets():
    return pytest.importorskip("datasets")


def save(path, rows, datasets) -> Path:
    datasets.Dataset.from_list(rows).save_to_disk(str(path / "saved"))
    return path / "saved"


def test_rows_are_records(tmp_path, datasets):
    path = save(tmp_path, [{"query": "a", "target": " b\n", "id": 5}, {"query": "c", "target": "d"}], datasets)
    memory = Memory.from_file(path)
    assert [(record.prompt, record.answer) for record in memory] == [("a", " b\n"), ("c", "d")]
    assert memory.records[0].id == "5"
    assert memory.records[1].where == f"{path}: row 2"


def test_conversations_are_records(tmp_path, datasets):
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "name": None}]
    (record,) = Memory.from_file(save(tmp_path, [{"messages": messages}], datasets))
    assert (record.prompt, record.answer) == ("a", "b")


def test_the_train_split_is_taken(tmp_path, datasets):
    split = datasets.Dataset.from_list([{"prompt": "a", "completion": "b"}])
    other = datasets.Dataset.from_list([{"prompt": "c", "completion": "d"}])
    datasets.DatasetDict({"test": other, "train": split}).save_to_disk(str(tmp_path / "saved"))
    assert [record.prompt for record in Memory.from_file(tmp_path / "saved")] == ["a"]


def test_several_splits_without_train_are_refused(tmp_path, datasets):
    split = datasets.Dataset.from_list([{"prompt": "a", "completion": "b"}])
    datasets.DatasetDict({"test": split, "dev": split}).save_to_disk(str(tmp_path / "saved"))
    with pytest.raises(RecordsError, match=r"\['dev', 'test'\]"):
        Memory.from_file(tmp_path / "saved")


def test_unknown_columns_are_told_once(tmp_path, datasets):
    path = save(tmp_path, [{"promt": "a", "completion": "b"}] * 3, datasets)
    with pytest.raises(RecordsError) as caught:
        Memory.from_file(path)
    assert len(caught.value.problems) == 1


def test_an_empty_cell_names_its_row(tmp_path, datasets):
    path = save(tmp_path, [{"prompt": "a", "completion": "b"}, {"prompt": "c", "completion": None}], datasets)
    with pytest.raises(RecordsError, match="row 2: field 'completion' is missing"):
        Memory.from_file(path)


def test_a_directory_that_is_no_dataset_is_refused(tmp_path, datasets):
    with pytest.raises(RecordsError, match="not a dataset that save_to_disk has written"):
        Memory.from_file(tmp_path)


def test_without_the_library_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(RecordsError, match=r"pip install 'byheart\[datasets\]'"):
        Memory.from_file(tmp_path)
