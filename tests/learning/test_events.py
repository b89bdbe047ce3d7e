import json

import pytest

from byheart.errors import ArtifactError
from byheart.learning.events import EpochEvent, MetricsFile


def event(epoch: int) -> EpochEvent:
    return EpochEvent(epoch, 4, 36, 8, 1e-3, 0.5, 0.25, 4, 3, 2, 5, 0.125, 1.5)


def epochs(path) -> list[int]:
    return [json.loads(line)["epoch"] for line in path.read_text().splitlines()]


def test_every_epoch_is_a_line_with_all_its_numbers(tmp_path):
    path = tmp_path / "metrics.jsonl"
    metrics = MetricsFile(path)
    metrics(event(1))
    metrics(event(2))
    assert epochs(path) == [1, 2]
    assert json.loads(path.read_text().splitlines()[0]) == {
        "epoch": 1,
        "spent_visits": 4,
        "budget_visits": 36,
        "lora_rank": 8,
        "learning_rate": 1e-3,
        "objective": 0.5,
        "nll_nats": 0.25,
        "num_visited_records": 4,
        "num_stubborn_tokens": 3,
        "num_certified_records": 2,
        "num_records": 5,
        "seconds": 0.125,
        "train_seconds": 1.5,
    }


def test_nothing_is_written_before_the_first_epoch_ends(tmp_path):
    # What a run writes before its first checkpoint would make its own directory a stranger's.
    MetricsFile(tmp_path / "metrics.jsonl")
    assert not list(tmp_path.iterdir())


def test_a_resumed_run_drops_the_epochs_that_it_runs_again(tmp_path):
    path = tmp_path / "metrics.jsonl"
    first = MetricsFile(path)
    for epoch in (1, 2, 3, 4):
        first(event(epoch))
    MetricsFile(path, num_epochs_kept=2)(event(3))
    assert epochs(path) == [1, 2, 3]


def test_a_new_run_begins_a_new_file(tmp_path):
    path = tmp_path / "metrics.jsonl"
    MetricsFile(path)(event(1))
    MetricsFile(path)(event(1))
    assert epochs(path) == [1]


@pytest.mark.parametrize("torn", ['{"epoch": 1, "num', '{"epoch": 1}', "\0\0\0\n"])
def test_a_torn_last_line_is_dropped(tmp_path, torn):
    path = tmp_path / "metrics.jsonl"
    MetricsFile(path)(event(1))
    path.write_text(path.read_text() + torn)
    MetricsFile(path, num_epochs_kept=1)(event(2))
    assert epochs(path) == [1, 2]


def test_a_line_that_cannot_be_written_is_an_artifact_error(tmp_path):
    path = tmp_path / "metrics.jsonl"
    metrics = MetricsFile(path)
    metrics(event(1))
    path.unlink()
    path.mkdir()
    with pytest.raises(ArtifactError, match="the last checkpoint is kept"):
        metrics(event(2))


@pytest.mark.parametrize("line", ["{}", "[1]", "3", "null", '{"epoch": null}', '{"epoch": "1"}'])
def test_a_line_of_another_kind_is_dropped(tmp_path, line):
    path = tmp_path / "metrics.jsonl"
    path.write_text(f"{line}\n")
    MetricsFile(path, num_epochs_kept=1)(event(2))
    assert epochs(path) == [2]
