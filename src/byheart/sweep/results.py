"""What a sweep leaves: a folder a cell, and one table of them all.

    DIR/cells/<name>/tokens.safetensors   of each answer token: its p, loss and rank, whether the free run has it; of
                                          each epoch its loss and stubborn tokens; of records that were asked for
                                          and not learnt, p and rank
    DIR/cells/<name>/result.json          all else; written last, so that a folder with one is whole
    DIR/grid.yaml                         the grid that the table is of, as it was given
    DIR/results.parquet                   one row a cell of that grid, made of the folders

The folders are the truth: the table can be made of them at any time.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from byheart.artifacts import atomic_path, read_json, write_bytes, write_json
from byheart.errors import ArtifactError, NewerSchemaError, SettingsError
from byheart.sweep.cell import CellResult, Measured

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

CELLS, RESULT_FILE, TOKENS_FILE, TABLE_FILE = "cells", "result.json", "tokens.safetensors", "results.parquet"
GRID_FILE = "grid.yaml"
GRID_HEAD = "# The grid that results.parquet is of, as 'byheart sweep' was given it.\n"
"""How `GRID_FILE` begins: what may be written over."""
KIND, SCHEMA_VERSION = "sweep cell", 2
"""2: with the versions of torch and transformers, and what came of unseen records; cells of 1 are read, without."""
TABLE_KIND, TABLE_VERSION = "sweep results", 1
NONE = -1
"""Stands in the tokens' file for a position that there is not."""
UNSEEN = "unseen"
"""How the names of what it has of records that were not learnt begin."""
_HEAD = b"byheart"
"""Of the table's kind and version, among a Parquet file's own metadata."""

_ARROW = {int: "int64", int | None: "int64", float: "float64", float | None: "float64", bool: "bool"}
_TYPES = {
    "cell": "string",
    "status": "string",
    "error": "string",
    "attempts": "int64",
    "model": "string",
    "task": "string",
    "method": "string",
    "placement": "string",
    "seed": "int64",
    **{name: _ARROW.get(field.annotation, "string") for name, field in Measured.model_fields.items()},
    "nll_drop_nats": "float64",
    "byheart_version": "string",
}
"""Columns that every table has, whatever its grid."""


def need_pyarrow() -> None:
    """Makes sure that a table can be written.

    Raises:
        SettingsError: pyarrow is not installed.
    """
    if importlib.util.find_spec("pyarrow") is None:
        raise SettingsError("a table of results needs pyarrow; pip install 'byheart[sweep]'")


def write_grid(directory: Path, text: str) -> None:
    """Keeps a grid beside its table, in place of the one before.

    Args:
        directory: of the sweep.
        text: YAML, as `byheart.sweep.grid.read_grid` reads it.

    Raises:
        ArtifactError: another file of that name is there, which is somebody's own, or it cannot be written.
    """
    path = directory / GRID_FILE
    headed = text if text.startswith(GRID_HEAD) else GRID_HEAD + text
    if path.is_file():
        found = path.read_bytes()
        if found in (text.encode(), headed.encode()):  # the first where somebody keeps the grid here
            return
        if not found.startswith(GRID_HEAD.encode()):
            raise ArtifactError(
                f"{path} is another grid, and no sweep's to write over; move it away, or choose another --out"
            )
    write_bytes(path, headed.encode())


def write_result(directory: Path, result: CellResult, tokens: bytes) -> None:
    """Writes a cell's folder; ``tokens`` are empty where it failed, and none of an earlier run are left then."""
    folder = directory / CELLS / result.name
    if tokens:
        write_bytes(folder / TOKENS_FILE, tokens)
    else:
        (folder / TOKENS_FILE).unlink(missing_ok=True)
    write_json(folder / RESULT_FILE, KIND, SCHEMA_VERSION, result.model_dump(mode="json"))


def read_result(directory: Path, name: str) -> CellResult | None:
    """A cell's result; None where its folder is not there or not whole.

    Raises:
        ArtifactError: damaged, or of a newer schema.
    """
    path = directory / CELLS / name / RESULT_FILE
    if not path.is_file():
        return None
    try:
        return CellResult.model_validate(read_json(path, KIND, SCHEMA_VERSION))
    except ValidationError as error:
        raise ArtifactError(f"{path} is not a whole result; remove {path.parent}, and the cell is run again") from error


def find_result(directory: Path, name: str, say: Callable[[str], None]) -> CellResult | None:
    """A cell's result where it is whole; None where the cell is to be run.

    Args:
        directory: of the sweep.
        name: of the cell.
        say: told of what is there and not whole.

    Raises:
        NewerSchemaError: a newer byheart wrote it.
    """
    try:
        result = read_result(directory, name)
    except NewerSchemaError:
        raise
    except ArtifactError as error:
        say(f"warning: {error}. It is run again.")
        return None
    tokens = directory / CELLS / name / TOKENS_FILE
    if result is not None and result.status == "done" and not tokens.is_file():
        say(f"warning: {tokens} is missing. The cell is run again.")
        return None
    return result


def read_tokens(directory: str | Path, name: str) -> dict[str, np.ndarray]:
    """The answer tokens of a cell, by the names that `byheart.sweep.measure.measured` gives them.

    Raises:
        ArtifactError: the cell has none, since it failed or was not run, or they cannot be read.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    path = Path(directory) / CELLS / name / TOKENS_FILE
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise ArtifactError(f"cannot read {path}: {error}") from error


def row(result: CellResult) -> dict[str, Any]:
    """A cell as one line of the table."""
    run, lora_rank = result.run, result.run["placement"]["lora_rank"]
    values: dict[str, Any] = dict.fromkeys(_TYPES)
    if result.measured is not None:
        values |= result.measured.model_dump() | {"nll_drop_nats": result.measured.nll_drop_nats}
    elif isinstance(lora_rank, int):
        values["lora_rank"] = lora_rank
    values |= {
        "cell": result.name,
        "status": result.status,
        "error": result.error,
        "attempts": result.attempts,
        "model": run["model"]["name"],
        "task": result.task["name"],
        "method": run["method"]["name"],
        "placement": result.placement,
        "seed": run["seed"],
        "num_records": result.num_records,
        "num_answer_tokens": result.num_answer_tokens,
        "byheart_version": result.byheart_version,
    }
    of_task = {f"task.{name}": value for name, value in result.task.items() if name != "name"}
    return {**of_task, **result.axes, **values}


def table(results: Iterable[CellResult]) -> pa.Table:
    """One row a cell: the columns that every table has, and one for each axis and each of the task's settings."""
    import pyarrow as pa

    rows = [row(result) for result in results]
    extra = sorted({name for each in rows for name in each} - _TYPES.keys())
    columns = {name: [each.get(name) for each in rows] for name in (*_TYPES, *extra)}
    arrays = [
        pa.array(values, pa.type_for_alias(_TYPES[name])) if name in _TYPES else pa.array(_alike(values))
        for name, values in columns.items()
    ]
    head = {_HEAD: json.dumps({"kind": TABLE_KIND, "schema_version": TABLE_VERSION})}
    return pa.table(arrays, names=list(columns)).replace_schema_metadata(head)


def _alike(values: list[Any]) -> list[Any]:
    """Values of one type: as they are where all are numbers or all truth values, else as text."""
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float}:
        return values if len(kinds) < 2 else [value if value is None else float(value) for value in values]
    if len(kinds) == 1 and kinds <= {bool, str}:
        return values
    return [value if value is None or isinstance(value, str) else json.dumps(value) for value in values]


def write_table(directory: Path, results: Iterable[CellResult]) -> None:
    """Writes the table, whole or not at all."""
    import pyarrow.parquet as pq

    with atomic_path(directory / TABLE_FILE) as temporary:
        pq.write_table(table(results), temporary)


def read_results(directory: str | Path) -> pa.Table:
    """The table of a sweep: one row a cell.

    Raises:
        ArtifactError: there is none, or it is no table of a sweep or of a newer schema.
        SettingsError: pyarrow is not installed.

    Example:
        >>> read_results("sweeps/probe").to_pandas().groupby("lora_rank").nll_drop_nats.mean()    # doctest: +SKIP
    """
    need_pyarrow()
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = Path(directory) / TABLE_FILE
    if not path.is_file():
        raise ArtifactError(f"{path} does not exist; give the --out of a 'byheart sweep'")
    try:
        found = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise ArtifactError(f"cannot read {path}: {error}; 'byheart sweep' makes it anew of the cells") from error
    head: Mapping[str, Any] = json.loads((found.schema.metadata or {}).get(_HEAD, b"{}"))
    if head.get("kind") != TABLE_KIND:
        raise ArtifactError(f"{path} is not a byheart {TABLE_KIND}")
    if (version := head["schema_version"]) > TABLE_VERSION:
        raise NewerSchemaError(f"{path} has schema version {version}; install a newer byheart to read it")
    return found
