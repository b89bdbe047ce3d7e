"""Runs in processes of their own, which can be killed: at a moment, or in the middle of a write."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import time
from collections.abc import Mapping
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any

from byheart.errors import ByheartError


def context() -> ForkServerContext:
    """Starts processes that have the heavy imports behind them."""
    ready = multiprocessing.get_context("forkserver")
    ready.set_forkserver_preload(["killed_runs", "byheart.pipeline", "transformers.models.llama.modeling_llama"])
    return ready


def start(model: Path, out: Path, settings: Mapping[str, Any], **how: Any) -> ForkServerProcess:
    """Begins ``byheart.learn`` on the tests' pairs; ``how`` goes to `teach`."""
    process = context().Process(target=teach, args=(str(model), str(out), dict(settings)), kwargs=how)
    process.start()
    return process


def finish(model: Path, out: Path, settings: Mapping[str, Any], **how: Any) -> int:
    """Runs to the end, or to where it kills itself; the exit code."""
    process = start(model, out, settings, **how)
    process.join(120)
    assert process.exitcode is not None
    return process.exitcode


def kill_after(model: Path, out: Path, settings: Mapping[str, Any], seconds: float) -> int:
    """Kills a run that many seconds after it has begun its work, if it still goes on; the exit code."""
    began = context().Event()
    process = start(model, out, settings, began=began)
    assert began.wait(120)
    time.sleep(seconds)
    process.kill()
    process.join(120)
    assert process.exitcode is not None
    return process.exitcode


def teach(
    model: str,
    out: str,
    settings: dict[str, Any],
    began: Any = None,
    die_at_sync: int | None = None,
    largest_file: int | None = None,
) -> None:
    """The run itself, in the process that may be killed.

    Args:
        model: directory.
        out: directory.
        settings: of the run.
        began: an event to set once all is imported.
        die_at_sync: SIGKILL comes when data goes to the disk for that time, from 1.
        largest_file: bytes at which the system refuses to let a file grow, as a full disk does.
    """
    import torch

    from byheart import artifacts
    from byheart.memory.records import Memory
    from byheart.pipeline import learn
    from conftest import PAIRS

    torch.set_num_threads(1)
    if die_at_sync is not None:
        sync, left = artifacts._sync, [die_at_sync]

        def dying(path: Path) -> None:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            sync(path)

        artifacts._sync = dying
    if largest_file is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, resource.RLIM_INFINITY))
    if began is not None:
        began.set()
    try:
        learn(Memory.from_pairs(PAIRS), model, out=out, config=settings)
    except ByheartError as error:
        Path(out).with_suffix(".error").write_text(f"{type(error).__name__}: {error}")
        os._exit(2)
