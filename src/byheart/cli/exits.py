"""How a command ends: the exit codes, and which error means which.

Errors that a user can mend are one message on stderr, never a traceback; anything else is a bug and shows as one.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn

import typer

from byheart.cli.visible import neutral
from byheart.errors import ByheartError, InterruptedRunError

if TYPE_CHECKING:
    from byheart.certification.certificate import Certificate

COMPLETE = 0
"""Every record certified or recited."""
BAD_INPUT = 2
"""Nothing was done, or nothing more could be; the message says why."""
SOME_FAILED = 3
"""The work was done, but some records do not come back."""
INTERRUPTED = 130
"""Stopped by Ctrl-C or SIGTERM."""
PIPE_CLOSED = 141
"""Whoever read the output has gone: what a shell reports for SIGPIPE."""


def code_of(certificate: Certificate) -> int:
    """The exit code that a certificate means."""
    return COMPLETE if certificate.is_complete else SOME_FAILED


def run(work: Callable[[], int]) -> NoReturn:
    """Does a verb's work and ends the command with the code it returns, or with that of the error it raises.

    Raises:
        typer.Exit: always.
    """
    try:
        code = work()
        sys.stdout.flush()
    except InterruptedRunError as error:
        _end(INTERRUPTED, f"interrupted: {error}")
    except KeyboardInterrupt:
        _end(INTERRUPTED, "interrupted")
    except BrokenPipeError:
        _forget_stdout()
        raise typer.Exit(PIPE_CLOSED) from None
    except (ByheartError, OSError) as error:
        _end(BAD_INPUT, f"error: {error}")
    raise typer.Exit(code)


def _end(code: int, message: str) -> NoReturn:
    from byheart.cli.screens import Screen

    with contextlib.suppress(BrokenPipeError):
        Screen(stderr=True).paragraph(neutral(message))
    raise typer.Exit(code) from None


def _forget_stdout() -> None:
    """Sends what is still buffered nowhere: the interpreter would complain about it when it ends."""
    with contextlib.suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - a descriptor is wanted
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
