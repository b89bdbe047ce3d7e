"""The Ray engine on a real cluster of several nodes on this machine."""

import importlib.util
import os
import re
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from byheart.errors import SettingsError
from byheart.sweep.driver import Sweep, sweep
from byheart.sweep.grid import Resources
from byheart.sweep.progress import Silent, Standing
from byheart.sweep.ray import RayEngine
from byheart.sweep.results import read_results
from byheart.sweep.run import run_job
from sweeps_for_tests import InProcess, rows_of

pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("ray") is None, reason="Ray is not installed: pip install 'byheart[ray]'"
    ),
    # Ray leaves sockets and files to its end, and warns of what it will do by default some day.
    pytest.mark.filterwarnings("ignore"),
]

SEES_WHAT_RUNS = pytest.mark.skipif(
    not Path("/proc/self/cmdline").exists(),
    reason="what a cluster's nodes run is seen in /proc, which is Linux's alone",
)


@pytest.fixture(scope="module")
def cluster() -> Iterator:
    """A head without cores, so that no cell runs on it, and two nodes with one core each."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from ray.cluster_utils import Cluster

        memory: dict[str, Any] = {"object_store_memory": 80 * 2**20}
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **memory})
        for _ in range(2):
            cluster.add_node(num_cpus=1, **memory)
        yield cluster
        cluster.shutdown()


class KillsANode(Silent):
    """Kills a node of the cluster as soon as two cells are seen to run."""

    def __init__(self, cluster) -> None:
        self.cluster, self.sentences, self.has_killed = cluster, [], False

    def say(self, sentence: str) -> None:
        self.sentences.append(sentence)

    def standing(self, standing: Standing) -> None:
        if not self.has_killed and num_tasks_running() == 2:
            self.has_killed = True
            self.cluster.remove_node(self.cluster.list_all_nodes()[-1], allow_graceful=False)


def num_tasks_running() -> int:
    """Processes that Ray has named after our task while it is in it."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(path.read_bytes())
        except OSError:
            continue
    return sum(line.startswith(b"ray::on_node") for line in lines)


@SEES_WHAT_RUNS
def test_a_node_killed_in_the_middle_loses_nothing_and_counts_nothing_twice(cluster, tiny_cells, tmp_path):
    cells = tiny_cells[:4]
    listener = KillsANode(cluster)
    engine = RayEngine(Resources(), address=cluster.address)
    results = Sweep(cells, tmp_path / "ray", listener, lambda: False).run(engine, retry_failed=False)
    assert listener.has_killed
    assert [result.error for result in results] == [None] * 4
    assert sorted(result.attempts for result in results) == [1, 1, 1, 2]
    assert sum("is begun again" in sentence for sentence in listener.sentences) == 1
    Sweep(cells, tmp_path / "here", Silent(), lambda: False).run(InProcess(run_job), retry_failed=False)
    assert rows_of(tmp_path / "ray") == rows_of(tmp_path / "here")
    assert len(rows_of(tmp_path / "ray")) == 4


def test_there_is_room_for_what_the_nodes_have(cluster):
    with RayEngine(Resources(num_cpus=0.5), address=cluster.address) as engine:
        num_nodes = len(cluster.list_all_nodes()) - 1
        # Ray takes some seconds to count a node that was killed as dead.
        assert any(engine.num_slots() == 2 * num_nodes or time.sleep(0.5) for _ in range(120))
        assert engine.next(0.01) is None


def test_what_no_node_has_is_refused_unless_nodes_are_to_come(cluster):
    with pytest.raises(
        SettingsError, match="no node of the Ray cluster has what a cell takes, num_cpus 1 and num_gpus 1"
    ):
        RayEngine(Resources(num_gpus=1), address=cluster.address).__enter__()
    with RayEngine(Resources(num_gpus=1), num_workers=3, address=cluster.address) as engine:
        assert engine.num_slots() == 3


@SEES_WHAT_RUNS
def test_leaving_ends_what_runs_and_reports_nothing_home(cluster, long_job, monkeypatch):
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "1")
    with RayEngine(Resources(), address=cluster.address) as engine:
        import ray

        assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
        engine.submit(long_job)
        assert any(num_tasks_running() == 1 or time.sleep(0.2) for _ in range(300))
    assert not ray.is_initialized()
    assert any(num_tasks_running() == 0 or time.sleep(0.2) for _ in range(300))


def test_a_node_of_another_byheart_ends_the_sweep_with_the_mend(cluster, tiny_cells, tmp_path, monkeypatch):
    monkeypatch.setattr("byheart.sweep.ray.version", lambda _: "0.0.0")  # in this process, not on the nodes
    engine = RayEngine(Resources(), address=cluster.address)
    with pytest.raises(SettingsError, match=r"has byheart \S+, and this sweep is of 0\.0\.0; install the same byheart"):
        Sweep(tiny_cells[:1], tmp_path, Silent(), lambda: False).run(engine, retry_failed=False)
    assert read_results(tmp_path).num_rows == 0


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("127.0.0.1:1", "--address 127.0.0.1:1: nobody answers there"),
        ("ray://127.0.0.1:1", "nobody answers there"),
        ("somewhere", "--address somewhere: give HOST:PORT"),
    ],
)
def test_an_address_where_nobody_is(address, message):
    with pytest.raises(SettingsError, match=re.escape(message)):
        RayEngine(Resources(), address=address).__enter__()


def test_without_ray_the_mend_is_told(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r"pip install 'byheart\[ray\]'"):
        RayEngine(Resources())


def test_both_engines_give_equal_rows(tiny_model_directory, tmp_path, monkeypatch):
    monkeypatch.setattr("byheart.sweep.local.num_cores", lambda: 1)  # as many threads as Ray gives a task
    base = {
        "model": {"name": str(tiny_model_directory), "dtype": "float32", "device": "cpu"},
        "placement": {"layers": "all"},
        "learn": {"epochs": 3, "batch_size": 4},
    }
    grid = {"base": base, "task": {"name": "phonebook", "num_pairs": 4}, "axes": {"lora_rank": [1, 2]}}
    for engine in ("local", "ray"):  # Ray's without an address: a cluster of the sweep's own
        results = sweep(grid, tmp_path / engine, engine=engine, num_workers=1)
        assert [result.error for result in results] == [None, None]
    assert rows_of(tmp_path / "ray") == rows_of(tmp_path / "local")
