"""The process of a local worker: jobs come in on stdin, outcomes go out on stdout, one JSON object a line.

    python -m byheart.sweep.worker

Whatever else writes to stdout, a library perhaps, is sent to stderr: the lines are the driver's alone. When stdin ends
the driver has gone or has had enough, and the worker leaves at once, in the middle of a job too.
"""

from __future__ import annotations

import base64
import json
import os
import queue
import sys
import threading
from dataclasses import asdict
from typing import Any, TextIO

from byheart.sweep.engines import Job, Outcome


def job_line(job: Job) -> str:
    """A job as a line."""
    return json.dumps(asdict(job)) + "\n"


def read_job(line: str) -> Job:
    """The job of a line."""
    return Job(**json.loads(line))


def outcome_line(outcome: Outcome) -> str:
    """An outcome as a line; bytes as base64."""
    values = {**asdict(outcome), "tokens": base64.b64encode(outcome.tokens).decode("ascii")}
    return json.dumps(values) + "\n"


def read_outcome(line: str) -> Outcome:
    """The outcome of a line."""
    values: dict[str, Any] = json.loads(line)
    return Outcome(**{**values, "tokens": base64.b64decode(values["tokens"])})


def _lines_of_ours() -> TextIO:
    """The stdout that the driver reads; from here on everybody else's goes to stderr."""
    ours = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(ours, "w", encoding="utf-8")


def _leave_with_stdin(jobs: queue.SimpleQueue[str]) -> None:
    for line in sys.stdin:
        jobs.put(line)
    os._exit(0)  # from a thread, and whatever the main one is in


def main() -> None:
    """Works until stdin ends."""
    lines = _lines_of_ours()
    jobs: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_leave_with_stdin, args=(jobs,), daemon=True).start()
    from byheart.sweep.run import run_job

    while True:
        lines.write(outcome_line(run_job(read_job(jobs.get()))))
        lines.flush()


if __name__ == "__main__":
    main()
