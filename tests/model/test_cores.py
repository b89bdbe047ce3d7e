import os
from pathlib import Path

import pytest

from byheart.model.cores import num_cores

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def written(root: Path, **files: str) -> Path:
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.fixture
def many_cores(monkeypatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)


@pytest.mark.parametrize(
    ("text", "cores"), [("200000 100000\n", 2), ("150000 100000\n", 2), ("1000 100000", 1), ("max 100000\n", 64)]
)
def test_a_container_of_today(text, cores, tmp_path, many_cores):
    root = written(tmp_path, proc__self__cgroup="0::/\n", sys__fs__cgroup__cpu_DOT_max=text)
    assert num_cores(root) == cores


def test_the_narrowest_group_above_it_counts(tmp_path, many_cores):
    root = written(
        tmp_path,
        proc__self__cgroup="0::/pod/box\n",
        sys__fs__cgroup__pod__cpu_DOT_max="300000 100000",
        sys__fs__cgroup__pod__box__cpu_DOT_max="max 100000",
    )
    assert num_cores(root) == 3


@pytest.mark.parametrize(("quota", "cores"), [("400000", 4), ("-1", 64)])
def test_a_container_of_the_first_version(quota, cores, tmp_path, many_cores):
    group = {"quota": quota, "period": "100000"}
    files = {f"sys__fs__cgroup__cpu__box__cpu_DOT_cfs_{name}_us": text for name, text in group.items()}
    root = written(tmp_path, proc__self__cgroup="4:cpu,cpuacct:/box\n3:memory:/box\n", **files)
    assert num_cores(root) == cores


def test_without_control_groups_it_is_the_affinity(tmp_path):
    assert num_cores(tmp_path) == CORES
    assert num_cores() <= CORES
