"""The main entry, from records to bundle: settings and the output directory made sure of, then the job itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from byheart.artifacts import locked
from byheart.config import RunConfig
from byheart.export.bundle import Bundle, claim
from byheart.job import Job
from byheart.memory.records import Memory
from byheart.model.base import Base, as_current
from byheart.progress import Reporter, Silent


def learn(
    memory: Memory,
    model: str | Base | None = None,
    *,
    out: str | Path | None = None,
    method: str | None = None,
    lora_rank: int | str | None = None,
    layers: str | None = None,
    modules: str | None = None,
    seed: int | None = None,
    config: str | Path | Mapping[str, Any] | None = None,
    reporter: Reporter | None = None,
    interrupted: Callable[[], bool] = lambda: False,
) -> Bundle:
    """Writes a memory into an adapter and proves that greedy decoding gives it back.

    Args:
        memory: what is to be learnt.
        model: short name, directory, hub id, or a base that is already loaded; None: the settings' own.
        out: the bundle's directory; a run that was stopped there goes on. None: nothing is written until `Bundle.save`.
        method: sft, memft-ot, memft-sw or memft-sw-curriculum.
        lora_rank: a number, or auto.
        layers: where the adapter sits: index, A-B, fraction, top:N, all, or several with commas.
        modules: which linear modules: names, mlp, attention, all-linear; or mlp-bypass.
        seed: of first weights and order.
        config: a YAML file or nested plain values; the arguments above win.
        reporter: told what happens.
        interrupted: asked after every step; True stops the run at a checkpoint.

    Returns:
        The bundle: certificate, adapter, and how it came about. Records that failed are in the certificate.

    Raises:
        SettingsError, RecordsError, ModelError, ArtifactError: each with its mend; before any work starts, but for
            a disk that fills up or a directory that is taken away meanwhile.
        DivergedError: training left the range of numbers.
        InterruptedRunError: ``interrupted`` said so.

    Example:
        >>> memory = Memory.from_pairs([("The vault's code?", "4711-0815")])  # doctest: +SKIP
        >>> learn(memory, out="runs/vault").certificate.is_complete           # doctest: +SKIP
        True
    """
    started = time.monotonic()
    settings = RunConfig.build(
        config,
        model=model.identity.name if isinstance(model, Base) else model,
        method=method,
        lora_rank=lora_rank,
        layers=layers,
        modules=modules,
        seed=seed,
    )
    directory = Path(out) if out is not None else None
    if directory is not None:
        claim(directory)
    with locked(directory) if directory is not None else nullcontext():
        job = Job(memory, model, settings, directory, reporter or Silent(), interrupted, started)
        with as_current(job.base.device):
            return job.done()
