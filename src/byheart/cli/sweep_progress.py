"""What a sweep tells while it works: a bar on a terminal, now and then a line where there is none.

The remaining time is an estimate by the cells that are done, and is said to be one.
"""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Self

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from byheart.cli.interrupt import Interruption
from byheart.cli.screens import Screen
from byheart.cli.visible import neutral
from byheart.cli.wording import clock, counted
from byheart.errors import InterruptedRunError

if TYPE_CHECKING:
    from byheart.sweep.progress import Standing

_SECONDS_BETWEEN_LINES = 10.0


class SweepLines:
    """A `byheart.sweep.progress.SweepReporter` for files and pipes: a line at most every ten seconds.

    Args:
        screen: where to.
        is_stopping: whether a stop was asked for.
        now: the clock.
    """

    def __init__(
        self,
        screen: Screen,
        is_stopping: Callable[[], bool] = lambda: False,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._screen, self._is_stopping, self._now = screen, is_stopping, now
        self._spoke_at = now()

    def begin(self, name: str) -> None:
        """Something starts that cannot be counted."""
        self._screen.paragraph(neutral(name))

    def say(self, sentence: str) -> None:
        """Prints a sentence."""
        self._screen.paragraph(neutral(sentence))

    def standing(self, standing: Standing) -> None:
        """Prints how far it is, where the last time is long enough ago."""
        if self._now() - self._spoke_at >= _SECONDS_BETWEEN_LINES:
            self._spoke_at = self._now()
            self._screen.paragraph(line(standing))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Leaves nothing behind."""


class SweepBars(SweepLines):
    """The same for terminals: one bar, redrawn in place."""

    def __init__(
        self,
        screen: Screen,
        is_stopping: Callable[[], bool] = lambda: False,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(screen, is_stopping, now)
        self._name = ""
        self._standing: Standing | None = None
        self._started = now()
        self._live = Live(console=screen, get_renderable=self.drawn, refresh_per_second=8, transient=True)

    def begin(self, name: str) -> None:
        """Something starts that cannot be counted."""
        self._name = name

    def standing(self, standing: Standing) -> None:
        """Draws how far it is."""
        self._standing = standing

    def drawn(self) -> RenderableType:
        """The bar as it is now."""
        standing = self._standing
        table = Table.grid(padding=(0, 2, 0, 0), expand=True)
        table.add_column(no_wrap=True)
        table.add_column(ratio=1, min_width=8)
        table.add_column(no_wrap=True)
        took = clock(self._now() - self._started)
        if standing is None:
            table.add_row(Text(neutral(self._name)), ProgressBar(total=None, pulse=True), Text(took))
            return table
        behind = standing.num_done + standing.num_failed
        bar = ProgressBar(total=standing.num_cells, completed=behind)
        table.add_row(Text("cells"), bar, Text(f"{behind}/{standing.num_cells}  {took}, {left(standing)}"))
        lines: list[RenderableType] = [table, Text(counts(standing), style="dim")]
        if self._is_stopping():
            told = f"ending after {counted(standing.num_running, 'cell')} under way; Ctrl-C again leaves at once"
            lines.append(Text(told, style="bold"))
        return Group(*lines)

    def __enter__(self) -> Self:
        self._live.start(refresh=True)
        return self

    def __exit__(self, *error: object) -> None:
        """Takes the bar away."""
        self._live.stop()


def counts(standing: Standing) -> str:
    """What has become of the cells so far."""
    return f"{standing.num_done} done, {standing.num_failed} failed, {standing.num_running} running"


def left(standing: Standing) -> str:
    """The time that remains, as far as that is known."""
    seconds = standing.seconds_left
    if seconds is None:
        return "time left not known yet"
    if seconds < 1e-3 and standing.num_running:
        return "longer than the cells before, time left not known"
    return f"about {clock(seconds)} left"


def line(standing: Standing) -> str:
    """A standing in one line."""
    behind = standing.num_done + standing.num_failed
    return f"cells: {behind} of {standing.num_cells}; {counts(standing)}; {left(standing)}"


@contextlib.contextmanager
def resumable(screen: Screen, *, rest: str) -> Iterator[tuple[SweepLines, Interruption]]:
    """Cells that are made and run within the block, told as they come; what stops them says what becomes of them.

    Args:
        screen: where to.
        rest: what the same command goes on with.

    Yields:
        The narrator, and what is asked whether to stop.

    Raises:
        InterruptedRunError: stopped, by the first Ctrl-C or the second.
    """
    interruption = Interruption()
    try:
        with interruption, sweep_narrating(screen, lambda: interruption.is_requested) as narrator:
            narrator.begin("making the cells")
            yield narrator, interruption
    except KeyboardInterrupt as error:
        how = str(error) if isinstance(error, InterruptedRunError) else "left at once, cells under way undone"
        raise InterruptedRunError(f"{how}; the same command goes on with {rest}") from error


@contextlib.contextmanager
def sweep_narrating(screen: Screen, is_stopping: Callable[[], bool]) -> Iterator[SweepLines]:
    """The narrator that suits the screen; warnings of the block are told by it too, each as one sentence."""
    narrator = (SweepBars if screen.is_live else SweepLines)(screen, is_stopping)
    with narrator, warnings.catch_warnings():
        warnings.showwarning = lambda message, *_: narrator.say(f"warning: {message}")
        yield narrator
