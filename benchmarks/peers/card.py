"""The device that a run computes on: when it has done what it was asked, how much of its memory was taken at most, and
what it is capable of (``python -m peers.card JOB OUTCOME``, both files of JSON).

A card works on while Python goes on, so a stopwatch asks it to finish first. A CPU has finished when Python has.
Importing this loads no torch; see `measure`.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
import time
from pathlib import Path
from typing import Any

import measure

SIDE = {"cuda": 8192, "cpu": 1024}
"""Rows and columns of the square matrices that show how fast a device multiplies."""
NUM_PRODUCTS, NUM_ROUNDS = 10, 5


def finish(device: str) -> None:
    """Waits until the device has done all that it was asked for."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.synchronize(device)


def mark_memory(device: str) -> int | None:
    """Bytes that tensors on the device take now, from which its highest mark is counted anew; None for a CPU, whose
    memory is the process's.
    """
    if not device.startswith("cuda"):
        return None
    import torch

    torch.cuda.reset_peak_memory_stats(device)
    return torch.cuda.memory_allocated(device)


def peak_memory(device: str) -> int | None:
    """Most bytes that tensors on the device took since `mark_memory`; None for a CPU."""
    if not device.startswith("cuda"):
        return None
    import torch

    return torch.cuda.max_memory_allocated(device)


def described(device: str, num_threads: int) -> dict[str, Any]:
    """What a table says of the device.

    Returns:
        ``device_name``; ``bf16_flops``, the floating-point operations a second of a large bf16 matrix product, the
        best of a few rounds; ``liger_kernel``, its version where it is installed; ``torch``, that of torch.

    Raises:
        SystemExit: the machine has no such device.
    """
    import torch

    if device.startswith("cuda") and not torch.cuda.is_available():
        raise SystemExit(
            f"this machine has no device {device!r}; for a run on the CPU, which shows that all works and nothing "
            "of a GPU, give --shape tiny"
        )
    torch.set_num_threads(num_threads)
    try:
        liger = importlib.metadata.version("liger-kernel")
    except importlib.metadata.PackageNotFoundError:
        liger = None
    is_card = device.startswith("cuda")
    return {
        "device_name": torch.cuda.get_device_name(device) if is_card else measure.machine(),
        "bf16_flops": _product_rate(device),
        "liger_kernel": liger,
        "torch": torch.__version__,
    }


def _product_rate(device: str) -> float:
    import torch

    num_rows = SIDE[torch.device(device).type]
    a, b = (torch.randn(num_rows, num_rows, dtype=torch.bfloat16, device=device) for _ in range(2))
    seconds = []
    for _ in range(NUM_ROUNDS + 1):  # the first warms up
        finish(device)
        begun = time.perf_counter()
        for _ in range(NUM_PRODUCTS):
            torch.matmul(a, b)
        finish(device)
        seconds.append(time.perf_counter() - begun)
    return NUM_PRODUCTS * 2 * num_rows**3 / min(seconds[1:])


if __name__ == "__main__":
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    measure.write(Path(sys.argv[2]), described(job["device"], job["num_threads"]))
