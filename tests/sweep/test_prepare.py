import json

import pytest

from byheart.errors import ModelError, SettingsError
from byheart.sweep.grid import expand, read_grid
from byheart.sweep.prepare import prepare


def test_cells_know_their_records_and_tokens(tiny_cells, tiny_encoded):
    assert len(tiny_cells) == 6
    assert len({cell.name for cell in tiny_cells}) == 6
    for cell in tiny_cells:
        assert cell.num_answer_tokens == tiny_encoded.num_answer_tokens
        assert cell.num_tokens == sum(record.num_tokens for record in tiny_encoded.records)


def test_what_cells_share_is_made_once(tiny_grid, tiny_base):
    asked = []

    def tokenizer_of(model, say):
        asked.append(model.name)
        return tiny_base.tokenizer

    cells = prepare(expand(read_grid(tiny_grid)), tokenizer_of=tokenizer_of)
    assert len(asked) == 1
    assert len({id(cell.memory) for cell in cells}) == 1


def test_other_content_of_the_same_file_is_another_cell(tiny_grid, cells_of, tmp_path):
    path = tmp_path / "records.jsonl"
    grid = {**tiny_grid, "task": {"name": "records", "source": str(path)}, "axes": {}}
    names = []
    for answer in ("one", "two"):
        path.write_text(json.dumps({"prompt": "a", "completion": answer}))
        names += [cell.name for cell in cells_of(grid)]
    assert names[0] != names[1]


def test_a_task_with_unseen_records_has_them_asked(tiny_grid, cells_of):
    task = {"name": "linear-rule", "num_pairs": 3, "num_unseen": 5}
    [cell] = cells_of({**tiny_grid, "task": task, "axes": {}})
    assert (len(cell.memory), len(cell.unseen or ())) == (3, 5)
    assert {record.prompt for record in cell.memory}.isdisjoint({record.prompt for record in cell.unseen or ()})


def test_ends_of_turns_count_where_they_are_learnt(tiny_grid, cells_of):
    with_end, without = cells_of({**tiny_grid, "axes": {"encode.learn_end": [True, False]}})
    assert with_end.num_answer_tokens - without.num_answer_tokens == 4


def test_records_that_cannot_be_made_are_told_all_at_once_before_any_cell_runs(tiny_grid, cells_of, tmp_path):
    grid = {
        **tiny_grid,
        "task": {"name": "records"},
        "axes": {"task.source": [str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl")], "seed": [1, 2, 3]},
    }
    with pytest.raises(SettingsError) as told:
        cells_of(grid)
    assert "a.jsonl" in str(told.value)
    assert "b.jsonl" in str(told.value)
    assert str(told.value).count("(3 cells)") == 2


def test_a_model_without_a_tokenizer_is_a_problem_too(tiny_grid):
    def tokenizer_of(model, say):
        raise ModelError(f"no tokenizer for {model.name}")

    with pytest.raises(SettingsError, match="no tokenizer for"):
        prepare(expand(read_grid(tiny_grid)), tokenizer_of=tokenizer_of)
