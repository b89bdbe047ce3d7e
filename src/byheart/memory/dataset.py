"""A Hugging Face dataset directory → records. The datasets library is an extra, so it is imported only on use."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from byheart.errors import Problem
from byheart.memory.fields import match, read_row
from byheart.memory.record import Record
from byheart.memory.text import quoted


def read_dataset(path: Path) -> Iterator[Record | Problem]:
    """The records in a dataset's rows; of several splits, the one called ``train``.

    Nulls are taken for absent: Arrow fills every field that a row does not have with one.
    """
    try:
        datasets: Any = importlib.import_module("datasets")
    except ImportError:
        yield Problem(
            str(path),
            "dataset directories are read by the datasets library; install it by: pip install 'byheart[datasets]'",
        )
        return
    try:
        dataset = datasets.load_from_disk(str(path))
    except Exception as error:  # a damaged directory can fail in any of the libraries below
        yield Problem(str(path), f"not a dataset that save_to_disk has written: {_first_line(error)}")
        return
    if isinstance(dataset, Mapping):
        splits = cast("Mapping[str, Any]", dataset)
        if "train" not in splits and len(splits) != 1:
            what = f"the splits are {quoted(sorted(splits))}, none is 'train'; save the one to be learnt by itself"
            yield Problem(str(path), what)
            return
        dataset = splits["train"] if "train" in splits else next(iter(splits.values()))
    _, flaws = match(tuple(dataset.column_names))
    if flaws:  # each row would say the same again
        yield from (Problem(str(path), flaw) for flaw in flaws)
        return
    for number, row in enumerate(dataset, 1):
        yield from read_row(_without_nulls(row), f"{path}: row {number}")


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        return {name: _without_nulls(item) for name, item in fields.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in cast("list[Any]", value)]
    return value


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
