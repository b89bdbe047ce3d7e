"""Where output goes: results to stdout, progress to stderr; with ``--json`` all that is for people goes to stderr.

Text is never read as markup, so that what records hold shows as it is.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from byheart.cli.visible import visible


class Screen(Console):
    """A console of ours: no markup, no emoji codes, no guessed colours; a closed pipe raises ``BrokenPipeError``."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, markup=False, emoji=False, highlight=False)

    @property
    def is_live(self) -> bool:
        """Whether a person watches and the screen can be redrawn; FORCE_COLOR alone does not make a pipe a screen."""
        return self.is_terminal and not self.is_dumb_terminal and self.file.isatty()

    def on_broken_pipe(self) -> None:
        """Leaves what to do to the caller; rich would exit with 1."""
        self.quiet = True
        raise BrokenPipeError

    def paragraph(self, text: str | Text = "", indent: int = 0) -> None:
        """Prints one paragraph: wrapped on a terminal, one line where a program or file reads."""
        content = Text(text) if isinstance(text, str) else text
        if self.is_terminal and content:
            self.print(Padding(content, (0, 0, 0, indent), expand=False), overflow="fold")
        else:
            for line in content.split("\n", allow_blank=True):
                self.print(Text(" " * indent) + line, soft_wrap=True)

    def rows(self, rows: Sequence[tuple[str, str | Text]]) -> None:
        """Prints labels and what stands behind them; in plain text every character of it to be seen, none obeyed."""
        shown = [(label, Text(visible(value)) if isinstance(value, str) else value) for label, value in rows]
        width = max(len(label) for label, _ in rows) + 2
        if not self.is_terminal:
            for label, value in shown:
                self.paragraph(Text(f"{label:{width}}") + value)
            return
        table = Table.grid()
        table.add_column(width=width, style="dim")
        table.add_column(overflow="fold")
        for label, value in shown:
            table.add_row(label, value)
        self.print(table)


@contextlib.contextmanager
def screens(as_json: bool) -> Iterator[tuple[Screen, Screen]]:
    """The screen for results and the one for progress.

    With ``as_json`` whatever else writes to stdout within the block is sent to stderr too, so that `print_json`, called
    after it, has stdout to itself.
    """
    stray = contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext()
    with stray:
        yield Screen(stderr=as_json), Screen(stderr=True)


def print_json(values: Mapping[str, Any]) -> None:
    """One object on one line of stdout, in ASCII: readable whatever the locale."""
    print(json.dumps(values, allow_nan=False), flush=True)
