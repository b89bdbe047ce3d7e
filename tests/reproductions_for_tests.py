"""Results of cells that nobody ran: what a reproduction would have measured, made of numbers that are known."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from byheart.config import RunConfig
from byheart.paper.findings import SWEEP, Findings
from byheart.paper.preset import ExperimentName, Preset
from byheart.sweep.cell import CellResult
from byheart.sweep.results import write_result
from byheart.tasks.registry import parse
from sweeps_for_tests import NUMBERS

PRESET = Preset.parse({"about": "made up", "paper_model": "qwen3-8b", "experiments": {}})
_NUMBERS = itertools.count(1)


def cell_result(
    task: Mapping[str, Any], method: str = "sft", rank: int = 1, seed: int = 42, epochs: int = 50, **measured: Any
) -> CellResult:
    """A cell that is done, with a fingerprint of its own."""
    run = {
        "placement": {"lora_rank": rank},
        "method": {"name": method, "rest_epochs": 0},
        "learn": {"epochs": epochs},
        "seed": seed,
    }
    numbers = NUMBERS.model_copy(update={"lora_rank": rank, "has_converged": True, **measured})
    return CellResult(
        fingerprint=f"{next(_NUMBERS):016x}" * 4,
        status="done",
        error=None,
        traceback=None,
        attempts=1,
        run=RunConfig.parse(run).model_dump(mode="json"),
        task=parse(task).model_dump(mode="json"),
        axes={},
        num_records=numbers.num_records,
        num_answer_tokens=numbers.num_answer_tokens,
        byheart_version="0.1.0",
        measured=numbers,
    )


def failed(result: CellResult) -> CellResult:
    """The same cell, had it failed."""
    return result.model_copy(update={"status": "failed", "error": "ModelError: broken", "measured": None})


def tokens_of(
    *records: Sequence[float],
    failures: Sequence[int | None] = (),
    unseen: Sequence[Sequence[float]] = (),
    epochs: Sequence[tuple[float, int]] = (),
) -> bytes:
    """The tokens' file of records with these probabilities; a token above one half is the argmax, and so is one above
    0.4. Free runs fail where ``failures`` says, or at the first token that is not the argmax.
    """
    stubborn = [next((at for at, p in enumerate(record) if p <= 0.5), None) for record in records]
    tokens = _by_token(records, failures) | {
        "nll_nats": np.array([-math.log(p) for record in records for p in record], np.float32),
        "is_free_right": np.array([p > 0.4 for record in records for p in record], np.bool_),
        "earliest_stubborn": np.array([-1 if at is None else at for at in stubborn], np.int32),
    }
    if unseen:
        tokens |= {f"unseen_{name}": values for name, values in _by_token(unseen, ()).items()}
    if epochs:
        tokens["epoch_nll_nats"] = np.array([nats for nats, _ in epochs], np.float32)
        tokens["epoch_stubborn_tokens"] = np.array([number for _, number in epochs], np.int32)
    return save(tokens)


def _by_token(records: Sequence[Sequence[float]], failures: Sequence[int | None]) -> dict[str, np.ndarray]:
    firsts = [next((at for at, p in enumerate(record) if p <= 0.4), None) for record in records]
    return {
        "p": np.array([p for record in records for p in record], np.float32),
        "token_rank": np.array([1 if p > 0.4 else 2 for record in records for p in record], np.int32),
        "num_tokens": np.array([len(record) for record in records], np.int32),
        "first_failure": np.array([-1 if at is None else at for at in failures or firsts], np.int32),
    }


def findings_of(
    directory: Path,
    results: Mapping[ExperimentName, Sequence[CellResult]],
    tokens: Mapping[str, bytes] | None = None,
    preset: Preset = PRESET,
) -> Findings:
    """Findings with their files; cells whose tokens are not given have one record of two sure tokens."""
    for result in {each.name: each for experiment in results.values() for each in experiment}.values():
        write_result(directory / SWEEP, result, (tokens or {}).get(result.name, tokens_of([0.9, 0.8])))
    return Findings(preset, directory, results)
