"""A clock that goes when told, and a screen whose words can be read."""

import io

import pytest

from byheart.cli.screens import Screen


class Clock:
    """Time that passes when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def screen(monkeypatch: pytest.MonkeyPatch, *, is_terminal: bool) -> tuple[Screen, io.StringIO]:
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: is_terminal, raising=False)
    built = Screen(stderr=True)
    built.file = stream
    return built, stream
