import importlib.util
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from byheart.config import RunConfig
from byheart.errors import SettingsError
from byheart.export.bundle import Claim, claim
from byheart.learning.events import EpochEvent
from byheart.learning.trackers import flat, refuse_missing, tracking
from byheart.memory.records import Memory
from byheart.pipeline import learn
from conftest import PAIRS

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # TensorBoard's own
EVENT = EpochEvent(
    epoch=3,
    spent_visits=12,
    budget_visits=36,
    lora_rank=8,
    learning_rate=0.25,
    objective=1.5,
    nll_nats=2.5,
    num_visited_records=4,
    num_stubborn_tokens=17,
    num_certified_records=1,
    num_records=4,
    seconds=0.5,
    train_seconds=2.0,
)


def told(directory: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard reads in a bundle: name → (step, value)."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(directory / "tensorboard"))
    events.Reload()
    return {name: [(event.step, event.value) for event in events.Scalars(name)] for name in events.Tags()["scalars"]}


def report(directory: Path, *events: EpochEvent, kept: int = 0, settings: dict[str, Any] | None = None) -> list[str]:
    """Reports to TensorBoard; gives what was said."""
    said: list[str] = []
    with tracking(("tensorboard",), settings or {}, directory, kept, said.append) as listeners:
        for event in events:
            for listener in listeners:
                listener(event)
    return said


def test_tensorboard_reads_every_number_of_every_epoch(tmp_path):
    later = replace(EVENT, epoch=4, nll_nats=0.5, num_stubborn_tokens=0)
    assert report(tmp_path, EVENT, later) == []
    scalars = told(tmp_path)
    assert set(scalars) == set(asdict(EVENT)) - {"epoch", "budget_visits", "num_records"}
    for name, values in scalars.items():
        assert values == [(3, asdict(EVENT)[name]), (4, asdict(later)[name])]


def test_a_resumed_run_goes_on_where_its_checkpoint_was(tmp_path):
    report(tmp_path, *(replace(EVENT, epoch=epoch, nll_nats=1.0) for epoch in (1, 2, 3)))
    report(tmp_path, *(replace(EVENT, epoch=epoch, nll_nats=0.5) for epoch in (3, 4)), kept=2)
    assert told(tmp_path)["nll_nats"] == [(1, 1.0), (2, 1.0), (3, 0.5), (4, 0.5)]


def test_a_whole_run_is_told_with_its_settings_and_without_its_records(tiny_base, tmp_path):
    settings = {
        "learn": {"epochs": 2, "report_to": "tensorboard"},
        "encode": {"system_prompt": "the butler did it"},
    }
    learn(Memory.from_pairs(PAIRS), tiny_base, out=tmp_path / "run", layers="top:1", lora_rank=2, config=settings)
    assert [step for step, _ in told(tmp_path / "run")["objective"]] == [1, 2]
    written = b"".join(path.read_bytes() for path in (tmp_path / "run" / "tensorboard").rglob("*") if path.is_file())
    assert b"learn.learning_rate" in written
    assert b"memft-ot" in written
    for text in ("the butler did it", *(text for pair in PAIRS for text in pair if len(text) > 6)):
        assert text.encode() not in written


@pytest.mark.parametrize("name", ["tensorboard", "README.md"])
def test_a_run_killed_before_its_first_checkpoint_may_use_its_directory_again(tmp_path, name):
    claim(tmp_path, "run")
    (tmp_path / name).mkdir()
    assert claim(tmp_path, "run") is Claim.EMPTY


def test_reporting_is_no_part_of_what_a_run_is():
    plain, told_of = RunConfig.build({}), RunConfig.build({"learn": {"report_to": "tensorboard"}})
    assert plain.learn.report_to == ()
    assert told_of.learn.report_to == ("tensorboard",)
    assert plain.identity() == told_of.identity()


def test_an_unknown_tracker_is_told_the_known_ones():
    with pytest.raises(SettingsError, match=r"report_to.*'trackio', 'tensorboard', 'wandb' or 'mlflow'.*'tensorbord'"):
        RunConfig.build({"learn": {"report_to": ["tensorbord"]}})


@pytest.mark.parametrize(
    ("name", "line"), [("wandb", "pip install wandb"), ("tensorboard", r"pip install 'byheart\[trackers\]'")]
)
def test_a_missing_library_is_told_before_any_work(name, line, tiny_base, tmp_path, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda asked, *more: None if asked == name else find(asked, *more))
    monkeypatch.setattr("byheart.job.encode", lambda *_: pytest.fail("work began"))
    with pytest.raises(SettingsError, match=f"{name} is not installed; {line}"):
        learn(Memory.from_pairs(PAIRS), tiny_base, out=tmp_path / "run", config={"learn": {"report_to": name}})
    assert not (tmp_path / "run").exists()


def test_tensorboard_without_a_directory_is_refused():
    with pytest.raises(SettingsError, match="say where that goes"):
        refuse_missing(("tensorboard",), None)
    refuse_missing((), None)


class Tracker:
    """Stands for a tracker whose library is not here."""

    made: ClassVar[list["Tracker"]]
    fails_at = ""

    def __init__(self, project, **more):
        self.project, self.more, self.calls = project, more, []
        type(self).made.append(self)

    def _called(self, name, *given):
        self.calls.append((name, *given))
        if name == self.fails_at:
            raise ConnectionError("no route\nto host")

    def start(self):
        self._called("start")

    def store_init_configuration(self, values):
        self._called("store", values)

    def log(self, values, step):
        self._called("log", values, step)

    def finish(self):
        self._called("finish")


@pytest.fixture
def stand_in(monkeypatch) -> type[Tracker]:
    from accelerate import tracking as accelerates

    class Own(Tracker):
        made: ClassVar = []

    for name in ("wandb", "trackio", "mlflow"):
        monkeypatch.setitem(accelerates.LOGGER_TYPE_TO_CLASS, name, Own)
    return Own


def test_every_tracker_is_started_told_and_finished_once(stand_in, tmp_path):
    with tracking(("wandb", "trackio", "mlflow"), {"seed": 1}, tmp_path / "run", 0, pytest.fail) as listeners:
        for listener in listeners:
            listener(EVENT)
    assert [(tracker.project, list(tracker.more.values())) for tracker in stand_in.made] == [("byheart", ["run"])] * 3
    for tracker in stand_in.made:
        assert [call[0] for call in tracker.calls] == ["start", "store", "log", "finish"]
        assert tracker.calls[1][1] == {"seed": 1}
        assert tracker.calls[2][2] == 3


def test_a_tracker_that_fails_on_the_way_is_told_of_once_and_left(stand_in):
    stand_in.fails_at = "log"
    said: list[str] = []
    with tracking(("wandb",), {}, None, 0, said.append) as [listener]:
        listener(EVENT)
        listener(EVENT)
    assert said == ["wandb failed and is reported to no more; the run goes on: ConnectionError: no route"]
    assert [call[0] for call in stand_in.made[0].calls] == ["start", "store", "log"]


def test_a_tracker_that_cannot_start_is_refused_and_the_others_are_finished(stand_in, tmp_path):
    stand_in.fails_at = "start"
    with (
        pytest.raises(SettingsError, match="report_to: wandb cannot be started: ConnectionError: no route"),
        tracking(("tensorboard", "wandb"), {}, tmp_path, 0, pytest.fail),
    ):
        pytest.fail("it began")
    assert told(tmp_path) == {}


def test_settings_are_told_by_dotted_name():
    values = flat(RunConfig().model_dump(mode="json"))
    assert values["method.window.patience"] == 3
    assert values["learn.betas"] == "[0.9, 0.98]"
    assert values["learn.shortlist"] is True
    assert not [name for name in values if "system_prompt" in name]
    assert all(isinstance(value, bool | int | float | str) for value in values.values())
