"""The Ray engine: jobs as tasks of a Ray cluster, which finds them a node with the cores and cards that they take.

Values go to the nodes and come back; no file is shared, and nothing is written but by who drives. Byheart, its base
model or the way to it, and Ray must be on every node. Ray's report of its use to its makers is turned off. Ray itself
retries nothing: a job whose node or process is lost is the driver's to begin again, so that no outcome counts twice.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from importlib.metadata import version
from types import TracebackType
from typing import Any, Self

from byheart.errors import SettingsError
from byheart.sweep.engines import Job, Outcome
from byheart.sweep.grid import Resources

_OWN_CLUSTER = "local"
"""What Ray calls an address at which it starts a cluster of its own; without one it would look about for others'."""
_ANSWER_SECONDS = 10.0


def on_node(job: Job, num_threads: int, driver_version: str) -> Outcome:
    """What a task does, in a process that Ray keeps for the next one.

    Raises:
        SettingsError: the node has another byheart, whose numbers would stand in the table as the driver's.
    """
    if (here := version("byheart")) != driver_version:
        raise SettingsError(f"node {socket.gethostname()} has byheart {here}, and this sweep is of {driver_version}")
    import torch

    from byheart.sweep.run import run_job

    torch.set_num_threads(num_threads)
    return run_job(job)


class RayEngine:
    """Runs jobs as Ray tasks.

    Args:
        resources: what a task takes.
        num_workers: tasks at a time; None: as many as the cluster has room for now. Give it where a cluster grows with
            what waits.
        address: of the cluster; None: one is started on this machine, and ended with the sweep.

    Raises:
        SettingsError: Ray is not installed.
    """

    max_attempts = 4

    def __init__(self, resources: Resources, num_workers: int | None = None, address: str | None = None) -> None:
        if importlib.util.find_spec("ray") is None:
            raise SettingsError("--engine ray: Ray is not installed; pip install 'byheart[ray]'")
        self._resources, self._num_workers, self._address = resources, num_workers, address
        self._running: dict[Any, str] = {}
        self._task: Any = None

    def __enter__(self) -> Self:
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        import ray

        if ray.is_initialized():
            raise SettingsError(
                "--engine ray: this process is connected to a Ray cluster already; ray.shutdown() first"
            )
        if self._address is not None:
            _must_answer(self._address)
        with _same_signals():
            try:
                ray.init(
                    self._address or _OWN_CLUSTER,
                    include_dashboard=None if self._address else False,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                )
            except (ConnectionError, RuntimeError, ValueError) as error:
                where = f"--address {self._address}" if self._address else "--engine ray"
                raise SettingsError(f"{where}: cannot connect to Ray: {error}") from error
        if self._num_workers is None and not self._num_fitting():
            ray.shutdown()
            asked = f"num_cpus {self._resources.num_cpus:g} and num_gpus {self._resources.num_gpus:g}"
            raise SettingsError(
                f"no node of the Ray cluster has what a cell takes, {asked}; change resources in the grid, or give "
                "--workers if nodes are still to come"
            )
        self._task = ray.remote(num_cpus=self._resources.num_cpus, num_gpus=self._resources.num_gpus, max_retries=0)(
            on_node
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        import ray

        for task in self._running:
            with contextlib.suppress(Exception):  # whatever keeps it from being cancelled, we leave
                ray.cancel(task, force=True)
        self._running.clear()
        ray.shutdown()

    @property
    def num_threads(self) -> int:
        """Of each task."""
        return max(int(self._resources.num_cpus), 1)

    def num_slots(self) -> int:
        """As many as the cluster has room for, or as were asked for."""
        return self._num_workers or max(self._num_fitting(), 1)

    def _num_fitting(self) -> int:
        """Tasks that all living nodes together could run at a time if they did nothing else."""
        import ray

        wanted = {"CPU": self._resources.num_cpus, "GPU": self._resources.num_gpus}
        return sum(
            min(int(node["Resources"].get(name, 0) / amount) for name, amount in wanted.items() if amount)
            for node in ray.nodes()
            if node["Alive"]
        )

    def submit(self, job: Job) -> None:
        """Gives Ray a task."""
        self._running[self._task.remote(job, self.num_threads, version("byheart"))] = job.name

    def next(self, timeout_seconds: float) -> Outcome | None:
        """The outcome of a task that has ended, however it did.

        Raises:
            SettingsError: a node cannot run tasks. All that it is given would fail at once, and it would be given more.
        """
        import ray
        from ray.exceptions import RayError, RayTaskError

        if not self._running:
            time.sleep(timeout_seconds)
            return None
        ended, _ = ray.wait(list(self._running), timeout=timeout_seconds)
        if not ended:
            return None
        name = self._running.pop(ended[0])
        try:
            return ray.get(ended[0])
        except RayTaskError as error:
            raise SettingsError(
                f"--engine ray: a node cannot run cells: {error.cause}; install the same byheart, with its extras, on "
                "every node; the same command goes on with the rest"
            ) from error
        except RayError as error:
            return Outcome(name, error=f"{type(error).__name__}: {error}", is_lost=True)


def _must_answer(address: str) -> None:
    """Makes sure that somebody listens at HOST:PORT: Ray itself would ask there for minutes.

    Raises:
        SettingsError: nobody does, or that is no address.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not (host and port.isdigit()):
        raise SettingsError(f"--address {address}: give HOST:PORT, as 'ray start --head' prints it")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise SettingsError(
            f"--address {address}: nobody answers there ({error}); start the cluster first: ray start --head"
        ) from error


@contextlib.contextmanager
def _same_signals() -> Iterator[None]:
    """Keeps Ctrl-C and SIGTERM with whoever had them; Ray takes them for its own."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
