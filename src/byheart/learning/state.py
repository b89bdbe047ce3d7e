"""Everything a run must remember between two steps, and its checkpoint: one file, replaced whole.

The file is safetensors: fp32 master weights, the best ones so far, AdamW's moments and the records' standing as
tensors, the rest as JSON in its header. A run that goes on from it takes the same steps, to the last bit on a CPU, as
one that was never stopped.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from byheart.artifacts import write_bytes
from byheart.errors import ArtifactError, NewerSchemaError
from byheart.learning.best import Best
from byheart.learning.events import Growth
from byheart.learning.stopping import Plateau, Verification
from byheart.method.schedule import Standing
from byheart.method.weighting import WeightingState
from byheart.model.adapter import Adapter

SCHEMA_VERSION = 4
OPTIMIZER_TENSORS = ("step", "exp_avg", "exp_avg_sq", "mean")
"""What the optimizer keeps beside each weight: its steps, fewer where an expert is not asked in every one, AdamW's
moments and, where there is one, the weight's running mean.
"""


@dataclass(slots=True)
class EpochSums:
    """Running sums of the epoch under way."""

    objective: float = 0.0
    nll_nats: float = 0.0
    num_tokens: int = 0
    seconds: float = 0.0


_NESTED = {"sums": EpochSums, "plateau": Plateau, "verification": Verification}


@dataclass(slots=True)
class Progress:
    """Where a run stands.

    Attributes:
        epoch: of the next step, from 0.
        step: of the next step within the epoch.
        num_steps: optimizer steps of the whole run so far.
        num_visits: of records in the epochs before the one under way, since the last growth; the learning rate falls
            with them.
        spent_visits: of the budget, likewise.
        order: record indices of the epoch under way; empty between epochs.
        standing: how each record stood when last seen.
        weighting_state: the weighting's own.
        sums: of the epoch under way.
        train_seconds: of all training so far, over all starts.
        total_seconds: of everything so far, over all starts.
        plateau: whether there is a way forward.
        verification: when a full pass may be made again.
        num_visits_at_look: visits when all records were last looked at to see whether they are known.
        has_looked: whether such a look was made since the start or the last growth.
        admitted: words that looks have added to the likely ones.
        best: the best weights so far.
        growths: of the adapter.
        num_stubborn_at_first: answer tokens that the last growth found stubborn; None: there was none, all are.
    """

    standing: Standing
    epoch: int = 0
    step: int = 0
    num_steps: int = 0
    num_visits: int = 0
    spent_visits: int = 0
    order: list[int] = field(default_factory=list)
    weighting_state: WeightingState = field(default_factory=dict)
    sums: EpochSums = field(default_factory=EpochSums)
    train_seconds: float = 0.0
    total_seconds: float = 0.0
    plateau: Plateau = field(default_factory=Plateau)
    verification: Verification = field(default_factory=Verification)
    best: Best = field(default_factory=Best)
    growths: list[Growth] = field(default_factory=list)
    num_stubborn_at_first: int | None = None
    num_visits_at_look: int = 0
    has_looked: bool = False
    admitted: list[int] = field(default_factory=list)


def save_checkpoint(
    path: Path, run_fingerprint: str, progress: Progress, adapter: Adapter, optimizer: torch.optim.Optimizer
) -> None:
    """Replaces the checkpoint at ``path``.

    Raises:
        ArtifactError: it cannot be written; the one before is kept.
    """
    tensors: dict[str, Tensor] = {
        **{f"standing.{each.name}": getattr(progress.standing, each.name) for each in fields(Standing)},
        **progress.best.tensors(),
    }
    for name, parameter in adapter.named_parameters():
        tensors[f"weight.{name}"] = parameter.detach().cpu()
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[f"{key}.{name}"] = value.detach().cpu()
    plain = {each.name: getattr(progress, each.name) for each in fields(progress)}
    del plain["standing"]
    plain |= {name: asdict(plain[name]) for name in _NESTED} | {"best": progress.best.plain()}
    plain["growths"] = [asdict(growth) for growth in progress.growths]
    header = {
        "schema_version": SCHEMA_VERSION,
        "run_fingerprint": run_fingerprint,
        "progress": plain,
    }
    # Not safetensors' own save_file: a full disk is no OSError there.
    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    write_bytes(path, save(contiguous, {"byheart": json.dumps(header)}))


def load_checkpoint(path: Path, adapter: Adapter, optimizer: torch.optim.Optimizer) -> Progress:
    """Puts a checkpoint's weights and moments into ``adapter`` and ``optimizer``.

    Raises:
        ArtifactError: not a checkpoint, one of another adapter, or one of a newer byheart.
    """
    header = read_header(path)
    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no dict
    for name, parameter in adapter.named_parameters():
        if (saved := tensors.get(f"weight.{name}")) is None or saved.shape != parameter.shape:
            raise ArtifactError(f"{path} is a checkpoint of another adapter; remove it to start anew")
    with torch.no_grad():
        for name, parameter in adapter.named_parameters():
            parameter.copy_(tensors[f"weight.{name}"])
            kept = {key: tensors[f"{key}.{name}"] for key in OPTIMIZER_TENSORS if f"{key}.{name}" in tensors}
            if kept:  # fused AdamW counts on the parameter's own device
                optimizer.state[parameter] = {key: tensor.to(parameter.device) for key, tensor in kept.items()}
    plain = header["progress"]
    standing = Standing(**{each.name: tensors[f"standing.{each.name}"] for each in fields(Standing)})
    nested = {name: kind(**plain.pop(name)) for name, kind in _NESTED.items()}
    best = Best.restored(plain.pop("best"), tensors)
    growths = [Growth(**growth) for growth in plain.pop("growths")]
    return Progress(standing=standing, best=best, growths=growths, **nested, **plain)


def read_header(path: Path) -> dict[str, Any]:
    """What a checkpoint says of itself: ``run_fingerprint``, ``progress``.

    Raises:
        ArtifactError: not a checkpoint, or one of another byheart.
    """
    try:
        with safe_open(path, "pt") as file:
            header = json.loads((file.metadata() or {})["byheart"])
            version = int(header["schema_version"])
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ArtifactError(f"{path} is not a byheart checkpoint ({error}); remove it to start anew") from error
    if version > SCHEMA_VERSION:
        raise NewerSchemaError(
            f"{path} has schema version {version}, this byheart reads {SCHEMA_VERSION}; install a newer byheart"
        )
    if version < SCHEMA_VERSION:
        raise ArtifactError(
            f"{path} has schema version {version}, an older byheart's; go on with that, or remove it to start anew"
        )
    return header
