"""Experiment trackers that listen to a run, through accelerate's own: every epoch's numbers, and the run's settings.

Nothing of what the records hold is ever told, nor a system prompt. A tracker changes nothing in the result: one that
fails while the run goes is told of once and left alone, and the run goes on. A run that is resumed goes on in
TensorBoard's directory where its checkpoint was; the other trackers show it as a second run of the same name.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from byheart.errors import SettingsError
from byheart.learning.config import TrackerName
from byheart.learning.events import EpochEvent, Listener

PROJECT = "byheart"
"""What trackers file the runs under."""
TENSORBOARD_DIRECTORY = "tensorboard"
"""In the bundle's directory."""
_NOT_SCALARS = ("epoch", "budget_visits", "num_records")
_UNTOLD = ("encode.system_prompt", "encode.template_kwargs")


def refuse_missing(names: Sequence[TrackerName], directory: Path | None) -> None:
    """Makes sure that trackers can be reported to, before any work.

    Args:
        names: of the trackers.
        directory: of the bundle; None: nothing is written.

    Raises:
        SettingsError: a library is not installed, or TensorBoard has no directory to write to.
    """
    for name in names:
        if importlib.util.find_spec(name) is None:
            install = "'byheart[trackers]'" if name == "tensorboard" else name
            raise SettingsError(f"learn.report_to: {name} is not installed; pip install {install}, or leave it out")
    if "tensorboard" in names and directory is None:
        raise SettingsError("learn.report_to: tensorboard writes beside the bundle; say where that goes (out)")


@contextlib.contextmanager
def tracking(
    names: Sequence[TrackerName],
    settings: Mapping[str, Any],
    directory: Path | None,
    num_epochs_kept: int,
    say: Callable[[str], None],
) -> Iterator[list[Listener]]:
    """Listeners that report to trackers for the length of a block; none where no tracker is named.

    Args:
        names: of the trackers; see `refuse_missing`.
        settings: of the run, nested plain values.
        directory: of the bundle.
        num_epochs_kept: of a run that is resumed; 0: it begins.
        say: told in a sentence of a tracker that fails.

    Raises:
        SettingsError: a tracker cannot be started, with its own reason.
    """
    trackers: list[_Tracker] = []
    try:
        for name in names:
            trackers.append(_Tracker(name, flat(settings), directory, num_epochs_kept, say))
        yield list(trackers)
    finally:
        for tracker in trackers:
            tracker.finish()


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, bool | int | float | str]:
    """Nested settings by dotted name, as every tracker takes them; what could tell of the records is left out.

    >>> flat({"learn": {"epochs": 9, "betas": [0.9, 0.98], "decay_share": None}})
    {'learn.epochs': 9, 'learn.betas': '[0.9, 0.98]', 'learn.decay_share': 'null'}
    """
    values: dict[str, bool | int | float | str] = {}
    for key, value in settings.items():
        name = f"{prefix}{key}"
        if name in _UNTOLD:
            continue
        if isinstance(value, Mapping):
            values |= flat(value, f"{name}.")
        else:
            values[name] = value if isinstance(value, bool | int | float | str) else json.dumps(value)
    return values


class _Tracker:
    """One of accelerate's trackers as a listener."""

    def __init__(
        self,
        name: TrackerName,
        settings: dict[str, bool | int | float | str],
        directory: Path | None,
        num_epochs_kept: int,
        say: Callable[[str], None],
    ) -> None:
        self._name, self._say, self._is_at_work = name, say, True
        try:
            self._tracker = _built(name, directory, num_epochs_kept)
            self._tracker.start()
            if not num_epochs_kept:
                self._tracker.store_init_configuration(settings)
        except Exception as error:  # of whatever kind that library has
            raise SettingsError(f"learn.report_to: {name} cannot be started: {_reason(error)}") from error

    def __call__(self, event: EpochEvent) -> None:
        values = {key: value for key, value in asdict(event).items() if key not in _NOT_SCALARS}
        self._attempt(lambda: self._tracker.log(values, step=event.epoch))

    def finish(self) -> None:
        """Writes what is left to write."""
        self._attempt(self._tracker.finish)

    def _attempt(self, call: Callable[[], None]) -> None:
        if not self._is_at_work:
            return
        try:
            call()
        except Exception as error:  # as above
            self._is_at_work = False
            self._say(f"{self._name} failed and is reported to no more; the run goes on: {_reason(error)}")


def _built(name: TrackerName, directory: Path | None, num_epochs_kept: int) -> Any:
    """The tracker, not started yet."""
    from accelerate import PartialState
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS

    PartialState()  # accelerate's trackers ask it whether this process is the one that reports
    run_name = None if directory is None else directory.absolute().name
    match name:
        case "tensorboard":
            more = {"logging_dir": directory, "purge_step": num_epochs_kept + 1 if num_epochs_kept else None}
            return LOGGER_TYPE_TO_CLASS[name](TENSORBOARD_DIRECTORY, **more)
        case "mlflow":
            return LOGGER_TYPE_TO_CLASS[name](PROJECT, run_name=run_name)
        case "wandb" | "trackio":
            return LOGGER_TYPE_TO_CLASS[name](PROJECT, name=run_name)


def _reason(error: Exception) -> str:
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), "no reason given")
    return f"{type(error).__name__}: {first}"
