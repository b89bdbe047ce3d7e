"""How many cores this process may compute with: those of its affinity, and no more than its container's share of time.

torch begins with a thread for each core of the machine. In a container that may use two of sixty-four, as Docker's
``--cpus`` and Kubernetes' limits set it, those threads take turns on two and wait for each other.

Source: the Linux kernel's documentation of control groups, ``cpu.max`` (version 2) and ``cpu.cfs_quota_us`` (1).
"""

from __future__ import annotations

import math
import os
from pathlib import Path

_ROOT = Path("/")


def num_cores(root: Path = _ROOT) -> int:
    """Cores that this process may use, at least one; a part of a core counts as one.

    Args:
        root: of the file system that says so.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(math.ceil(min(cores, _quota(root))), 1)


def _quota(root: Path) -> float:
    """Cores' worth of time that its control groups leave it; infinite where they set no limit."""
    shares = [math.inf]
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, group = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        mount = root / "sys/fs/cgroup" / ("cpu" if controllers else "")
        inside = group.strip("/").split("/") if group.strip("/") else []
        shares += [_share(mount.joinpath(*inside[:depth])) for depth in range(len(inside) + 1)]
    return min(shares)


def _share(group: Path) -> float:
    """Of one control group, in whichever version's words."""
    words = _text(group / "cpu.max").split()
    if not words:
        words = [_text(group / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period")]
    try:
        quota, period = (int(word) for word in words)
    except ValueError:  # no limit: "max" in version 2, nothing there in either
        return math.inf
    return quota / period if quota > 0 and period > 0 else math.inf  # -1: no limit, in version 1


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
