"""What a run tells while it works: bars on a terminal, now and then a line where there is none.

The remaining time is that of the whole budget at the pace of late. Learning ends earlier once every token is sure
enough, and nobody knows when that will be. What is counted meanwhile is training's own view; only the certificate
says what is certified.
"""

from __future__ import annotations

import contextlib
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Self

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from byheart.cli.screens import Screen
from byheart.cli.visible import neutral
from byheart.cli.wording import clock, counted
from byheart.learning.events import EpochEvent
from byheart.method.config import CERTIFIED_PROBABILITY

LEARNING = "learning"
_TITLES = {"reading": "reading activations"}
_NEXT = {"reading": LEARNING}
"""What goes on after a phase, before it reports for the first time."""
_SECONDS_BETWEEN_LINES = 10.0
_SECONDS_WORTH_A_LINE = 2.0
"""What took less is not spoken of afterwards."""
_MILESTONES = 10
"""Of the share of records above 0.5; each is worth a line."""


class Pace:
    """How long the rest of the budget takes at most, by the epochs that went before."""

    def __init__(self) -> None:
        self._laps: deque[tuple[float, int]] = deque(maxlen=10)

    def lap(self, seconds: float, num_records: int) -> None:
        """An epoch went by.

        Args:
            seconds: by the clock, full passes in between included.
            num_records: it visited.
        """
        self._laps.append((seconds, num_records))

    def at_most_seconds(self, event: EpochEvent) -> float:
        """For what ``event`` leaves of the budget, should all of it be spent."""
        seconds, num_records = (sum(column) for column in zip(*self._laps, strict=True))
        return seconds / max(num_records, 1) * event.left_visits


@dataclass(frozen=True, slots=True)
class Stage:
    """What is going on. Replaced, never changed: the thread that draws may look at any time.

    Attributes:
        name: for the user.
        started: on the clock.
        total: to be done; None where nobody can count.
        done: of the total.
        event: the last epoch's, while learning.
        ends_by: when the budget is spent at the latest, on the clock, while learning.
    """

    name: str
    started: float
    total: int | None = None
    done: int = 0
    event: EpochEvent | None = None
    ends_by: float = 0.0


class Narrator:
    """A `byheart.progress.Reporter`; how stages look is left to those below."""

    def __init__(self, screen: Screen, on_loop_ended: Callable[[], None], now: Callable[[], float]) -> None:
        self._screen, self._on_loop_ended, self._now = screen, on_loop_ended, now
        self._stage: Stage | None = None
        self._pace = Pace()
        self._last_epoch_at = 0.0

    def begin(self, name: str) -> None:
        """Something starts that cannot be counted."""
        self._enter(Stage(name, self._now()))

    def say(self, sentence: str) -> None:
        """Prints a sentence."""
        self._screen.paragraph(neutral(sentence))

    @contextlib.contextmanager
    def phase(self, name: str, total: int) -> Iterator[Callable[[int], None]]:
        """Counts a piece of work."""
        self._on_loop_ended()
        self._enter(Stage(_TITLES.get(name, name), self._now(), total))

        def advance(count: int) -> None:
            if self._stage is not None:
                self._update(replace(self._stage, done=self._stage.done + count))

        yield advance
        self._enter(Stage(_NEXT[name], self._now()) if name in _NEXT else None)

    def epoch(self, event: EpochEvent) -> None:
        """An epoch of learning ended."""
        now = self._now()
        stage = self._stage
        if stage is None or stage.name != LEARNING:
            stage = Stage(LEARNING, now - event.seconds)
        # The first epoch's clock also ran while the loss before learning was measured.
        self._pace.lap(now - self._last_epoch_at if stage.event else event.seconds, event.num_visited_records)
        self._last_epoch_at = now
        ends_by = now + self._pace.at_most_seconds(event)
        total, done = event.budget_visits, event.budget_visits - event.left_visits
        self._update(replace(stage, total=total, done=done, event=event, ends_by=ends_by))

    def _enter(self, stage: Stage | None) -> None:
        ended, self._stage = self._stage, stage
        if ended is None or not ended.total:
            return
        if ended.event or self._now() - ended.started >= _SECONDS_WORTH_A_LINE:
            self._screen.paragraph(ended_line(ended, self._now()))

    def _update(self, stage: Stage) -> None:
        self._stage = stage

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._stage = None


def ended_line(stage: Stage, now: float) -> str:
    """What remains on the screen of a stage that ended."""
    took = clock(now - stage.started)
    if event := stage.event:
        return f"{stage.name}: {counted(event.epoch, 'epoch')} in {took}; {standing(event)}"
    return f"{stage.name}: done in {took}"


def spent(stage: Stage) -> str:
    """How much of the budget of learning is behind it."""
    return f"{100 * stage.done // (stage.total or 1)} % of the budget"


def left(stage: Stage, now: float) -> str:
    """How long learning may still take."""
    return f"up to about {clock(stage.ends_by - now)} left"


def standing(event: EpochEvent) -> str:
    """How far learning is: the records whose every token was above one half when training last saw it."""
    above = (
        f"{event.num_certified_records} of {counted(event.num_records, 'record')} above {CERTIFIED_PROBABILITY} so far"
    )
    return f"{above}, {counted(event.num_stubborn_tokens, 'stubborn token')}"


class Lines(Narrator):
    """For files and pipes: plain lines, at milestones and every ten seconds."""

    def __init__(
        self,
        screen: Screen,
        on_loop_ended: Callable[[], None] = lambda: None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(screen, on_loop_ended, now)
        self._spoke_at = now()
        self._milestone = 0

    def begin(self, name: str) -> None:
        """Something starts that cannot be counted."""
        super().begin(name)
        self._screen.paragraph(neutral(name))

    def _enter(self, stage: Stage | None) -> None:
        super()._enter(stage)
        self._spoke_at, self._milestone = self._now(), 0

    def _update(self, stage: Stage) -> None:
        super()._update(stage)
        now, event = self._now(), stage.event
        milestone = _MILESTONES * event.num_certified_records // event.num_records if event else 0
        is_news = milestone > self._milestone or now - self._spoke_at >= _SECONDS_BETWEEN_LINES
        if not is_news or stage.done == stage.total:
            return
        self._spoke_at, self._milestone = now, max(milestone, self._milestone)
        if event:
            so_far = f"epoch {event.epoch}, {spent(stage)}; {standing(event)}"
            self._screen.paragraph(f"{stage.name}: {so_far}; {left(stage, now)}")
        else:
            self._screen.paragraph(f"{stage.name}: {stage.done} of {stage.total}")


class Bars(Narrator):
    """For terminals: one bar, redrawn in place; what ended stays as a line above it."""

    def __init__(
        self,
        screen: Screen,
        on_loop_ended: Callable[[], None] = lambda: None,
        is_stopping: Callable[[], bool] = lambda: False,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(screen, on_loop_ended, now)
        self._is_stopping = is_stopping
        self._live = Live(console=screen, get_renderable=self.drawn, refresh_per_second=8, transient=True)

    def drawn(self) -> RenderableType:
        """The bar as it is now."""
        stage, now = self._stage, self._now()
        if stage is None:
            return Text()
        lines: list[RenderableType] = [self._bar(stage, now)]
        if event := stage.event:
            lines.append(Text(f"{standing(event)}, learning rate {event.learning_rate:.1e}", style="dim"))
        if self._is_stopping():
            lines.append(Text("stopping after this step; Ctrl-C again leaves at once", style="bold"))
        return Group(*lines)

    def _bar(self, stage: Stage, now: float) -> Table:
        took = clock(now - stage.started)
        figures = took
        if event := stage.event:
            figures = f"epoch {event.epoch}, {spent(stage)}  {took}, {left(stage, now)}"
        table = Table.grid(padding=(0, 2, 0, 0), expand=True)
        table.add_column(no_wrap=True, ratio=None)
        table.add_column(ratio=1, min_width=8)
        table.add_column(no_wrap=True)
        bar = ProgressBar(total=stage.total, completed=stage.done, pulse=stage.total is None)
        table.add_row(Text(neutral(stage.name)), bar, Text(figures))
        return table

    def __enter__(self) -> Self:
        self._live.start(refresh=True)
        return super().__enter__()

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        self._live.stop()


@contextlib.contextmanager
def narrating(
    screen: Screen, on_loop_ended: Callable[[], None] = lambda: None, is_stopping: Callable[[], bool] = lambda: False
) -> Iterator[Narrator]:
    """The narrator that suits the screen; warnings of the block are told by it too, each as one sentence."""
    narrator = Bars(screen, on_loop_ended, is_stopping) if screen.is_live else Lines(screen, on_loop_ended)
    with narrator, warnings.catch_warnings():
        warnings.showwarning = lambda message, *_: narrator.say(f"warning: {message}")
        yield narrator
