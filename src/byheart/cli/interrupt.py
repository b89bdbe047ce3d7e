"""Ctrl-C and SIGTERM, taken politely: while the loop runs the first asks it to stop at a checkpoint, the second leaves
at once. Elsewhere there is nothing to wait for, and the first leaves.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """A request to stop; hand it to `byheart.learn` as ``interrupted``. Handlers are its own within the ``with`` block.

    The loop asks after each step. Having been asked is how it knows that a loop runs.
    """

    def __init__(self) -> None:
        self.is_requested = False
        self._is_polled = False
        self._former: list[Any] = []

    def __call__(self) -> bool:
        self._is_polled = True
        return self.is_requested

    def loop_ended(self) -> None:
        """Nobody asks from here on; what was requested and not yet seen is done now.

        Raises:
            KeyboardInterrupt: a stop was requested.
        """
        self._is_polled = False
        if self.is_requested:
            raise KeyboardInterrupt

    def __enter__(self) -> Self:
        # Python lets only the main thread set handlers; elsewhere signals stay with whoever runs that thread.
        if threading.current_thread() is threading.main_thread():
            self._former = [signal.signal(number, self._handle) for number in _SIGNALS]
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, handler in zip(_SIGNALS, self._former, strict=False):
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.is_requested or not self._is_polled:
            raise KeyboardInterrupt
        self.is_requested = True
