import json

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import save

from byheart.errors import ArtifactError, SettingsError
from byheart.sweep.results import (
    GRID_FILE,
    GRID_HEAD,
    TABLE_FILE,
    read_result,
    read_results,
    read_tokens,
    row,
    table,
    write_grid,
    write_result,
    write_table,
)
from sweeps_for_tests import result

COLUMNS = [
    *["cell", "status", "error", "attempts", "model", "task", "method", "placement", "seed"],
    *["lora_rank", "num_parameters", "num_records", "num_answer_tokens", "nll_before_nats", "nll_after_nats"],
    *["token_accuracy", "free_token_accuracy", "exact_match", "unseen_exact_match", "num_certified", "num_recited"],
    *["share_above_threshold", "min_probability", "earliest_stubborn_position", "first_failure_position"],
    *[
        "epochs",
        "weights_epoch",
        "last_epoch_nll_nats",
        "stop_reason",
        "has_converged",
        "seconds",
        "train_seconds",
        "peak_memory_bytes",
    ],
    *["dtype", "device", "num_threads", "base_weights_sha256", "torch_version", "transformers_version"],
    *["nll_drop_nats", "byheart_version"],
]


FAILED = {"status": "failed", "error": "DivergedError: nan", "measured": None}


def test_a_folder_gives_back_what_was_written(tmp_path):
    write_result(tmp_path, result(), save({"nll_nats": np.arange(3, dtype=np.float32)}))
    assert read_result(tmp_path, "a" * 16) == result()
    assert read_tokens(tmp_path, "a" * 16)["nll_nats"].tolist() == [0, 1, 2]


def test_a_folder_without_its_marker_is_none(tmp_path):
    write_result(tmp_path, result(), b"tokens")
    (tmp_path / "cells" / ("a" * 16) / "result.json").unlink()
    assert read_result(tmp_path, "a" * 16) is None


def test_a_result_of_schema_1_is_read_and_does_not_tell_the_versions(tmp_path):
    write_result(tmp_path, result(), b"tokens")
    path = tmp_path / "cells" / ("a" * 16) / "result.json"
    document = json.loads(path.read_text())
    del document["measured"]["torch_version"], document["measured"]["transformers_version"]
    path.write_text(json.dumps(document | {"schema_version": 1}))
    found = read_result(tmp_path, "a" * 16)
    assert found is not None and found.measured is not None
    assert (found.measured.torch_version, found.measured.transformers_version) == (None, None)
    assert found.measured.nll_before_nats == 6.0


@pytest.mark.parametrize("text", ["axes: {seed: [1]}\n", "# mine\naxes: {}\n", GRID_HEAD + "axes: {}\n"])
def test_a_grid_is_kept_under_one_head_and_replaces_the_one_before(tmp_path, text):
    write_grid(tmp_path, "axes: {lora_rank: [1]}\n")
    write_grid(tmp_path, text)
    kept = (tmp_path / GRID_FILE).read_text()
    assert kept == GRID_HEAD + text.removeprefix(GRID_HEAD)
    write_grid(tmp_path, kept)
    assert (tmp_path / GRID_FILE).read_text() == kept


def test_a_file_of_that_name_that_is_somebodys_own_is_left_alone(tmp_path):
    own = "axes: {seed: [1]}\n"
    (tmp_path / GRID_FILE).write_text(own)
    write_grid(tmp_path, own)
    with pytest.raises(ArtifactError, match="is another grid, and no sweep's to write over"):
        write_grid(tmp_path, "axes: {seed: [2]}\n")
    assert (tmp_path / GRID_FILE).read_text() == own


def test_a_damaged_result_is_told(tmp_path):
    write_result(tmp_path, result(), b"tokens")
    path = tmp_path / "cells" / ("a" * 16) / "result.json"
    document = json.loads(path.read_text())
    del document["attempts"]
    path.write_text(json.dumps(document))
    with pytest.raises(ArtifactError, match="is not a whole result; remove"):
        read_result(tmp_path, "a" * 16)


def test_a_cell_that_fails_when_run_again_keeps_no_tokens(tmp_path):
    write_result(tmp_path, result(), save({"nll_nats": np.zeros(1, np.float32)}))
    write_result(tmp_path, result(**FAILED), b"")
    with pytest.raises(ArtifactError, match="cannot read"):
        read_tokens(tmp_path, "a" * 16)


def test_tokens_that_are_not_there_are_told(tmp_path):
    with pytest.raises(ArtifactError, match=r"tokens\.safetensors"):
        read_tokens(tmp_path, "a" * 16)


def test_a_row_has_the_columns_that_every_table_has_and_those_of_its_grid():
    assert table([result()]).column_names[: len(COLUMNS)] == COLUMNS
    values = table([result()]).to_pylist()[0]
    assert (values["task"], values["method"], values["placement"]) == ("phonebook", "memft-ot", "top:3/all-linear")
    assert (values["learn.epochs"], values["task.num_pairs"]) == (3, 4)
    assert values["nll_drop_nats"] == 4.5
    assert values["first_failure_position"] is None


def test_a_failed_cell_is_a_row_with_its_error_and_where_it_was():
    values = row(result(**FAILED))
    assert (values["status"], values["error"]) == ("failed", "DivergedError: nan")
    assert (values["lora_rank"], values["num_answer_tokens"], values["learn.epochs"]) == (4, 50, 3)
    assert values["nll_after_nats"] is None


def test_columns_have_the_same_types_whatever_has_failed():
    assert table([result(**FAILED)]).schema.field("nll_after_nats").type == pa.float64()
    assert table([]).column_names == COLUMNS
    mixed = table([result(), result("b", **FAILED)]).schema
    assert table([result()]).schema.types[: len(COLUMNS)] == mixed.types[: len(COLUMNS)]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2], [1, 2]),
        ([1, 2.5], [1.0, 2.5]),
        (["auto", 4], ["auto", "4"]),
        ([True, False], [True, False]),
        ([True, 1], ["true", "1"]),
        ([None, 3], [None, 3]),
    ],
)
def test_an_axis_of_any_values_is_one_column(values, expected):
    rows = table(result(axes={"x": value}) for value in values)
    assert rows["x"].to_pylist() == expected


def test_three_readers_read_the_same(tmp_path):
    write_table(tmp_path, [result(), result("b", **FAILED)])
    path = tmp_path / TABLE_FILE
    expected = [("a" * 16, 4.5), ("b" * 16, None)]
    columns = ["cell", "nll_drop_nats"]
    pandas = pd.read_parquet(path)[columns]
    assert [(cell, None if pd.isna(drop) else drop) for cell, drop in pandas.itertuples(index=False)] == expected
    assert pl.read_parquet(path).select(columns).rows() == expected
    with duckdb.connect() as database:
        assert database.execute(f"select cell, nll_drop_nats from '{path}' order by cell").fetchall() == expected
    assert read_results(tmp_path).select(columns).to_pylist() == [
        dict(zip(columns, each, strict=True)) for each in expected
    ]


def test_a_table_that_cannot_be_written_leaves_the_one_before(tmp_path, monkeypatch):
    write_table(tmp_path, [result()])

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(pq, "write_table", killed)
    with pytest.raises(KeyboardInterrupt):
        write_table(tmp_path, [result(), result("b")])
    assert read_results(tmp_path).num_rows == 1
    assert [path.name for path in tmp_path.iterdir()] == [TABLE_FILE]


def test_what_is_no_table_of_ours_is_refused(tmp_path):
    with pytest.raises(ArtifactError, match="does not exist; give the --out of a 'byheart sweep'"):
        read_results(tmp_path)
    pq.write_table(pa.table({"a": [1]}), tmp_path / TABLE_FILE)
    with pytest.raises(ArtifactError, match="is not a byheart sweep results"):
        read_results(tmp_path)
    (tmp_path / TABLE_FILE).write_bytes(b"PAR1 or not")
    with pytest.raises(ArtifactError, match="cannot read"):
        read_results(tmp_path)
    newer = {b"byheart": json.dumps({"kind": "sweep results", "schema_version": 99}).encode()}
    pq.write_table(table([result()]).replace_schema_metadata(newer), tmp_path / TABLE_FILE)
    with pytest.raises(ArtifactError, match="install a newer byheart"):
        read_results(tmp_path)


def test_without_pyarrow_the_mend_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r"pip install 'byheart\[sweep\]'"):
        read_results(tmp_path)
