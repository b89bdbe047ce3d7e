"""A bundle and its epochs → what a cell measured, and the tokens behind it.

All comes from the certificate but for the loss before learning, which is the manifest's, and what training saw.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save

from byheart.certification.certificate import Certificate, RecordCertificate
from byheart.export.bundle import Bundle
from byheart.learning.events import EpochEvent
from byheart.method.config import CERTIFIED_PROBABILITY
from byheart.sweep.cell import Measured
from byheart.sweep.convergence import has_converged
from byheart.sweep.results import NONE, UNSEEN

_STATUS = Path("/proc/self/status")
_RESET = Path("/proc/self/clear_refs")


@dataclass(frozen=True, slots=True)
class Costs:
    """What a run took.

    Attributes:
        seconds: in all.
        peak_memory_bytes: as `peak_memory` tells it.
    """

    seconds: float
    peak_memory_bytes: int | None


def measured(
    bundle: Bundle, events: Sequence[EpochEvent], costs: Costs, unseen: Certificate | None = None
) -> tuple[Measured, bytes]:
    """What a run came to, and its tokens' file.

    Args:
        bundle: as `byheart.learn` gave it.
        events: of all its epochs.
        costs: of the run.
        unseen: of records of the task's kind that were not learnt; None: there are none.

    Returns:
        The numbers of its row, and a safetensors file: of each answer token, records one after the other, ``p`` and
        ``nll_nats`` (fp32, as the certificate has them: p made of the loss again could come to lie on the other side of
        one half), ``token_rank`` (int32) and ``is_free_right`` (bool); of each record ``num_tokens``,
        ``earliest_stubborn`` and ``first_failure`` (int32, -1 where there is none); of each epoch ``epoch_nll_nats``
        (fp32, mean loss of the answer tokens it visited) and ``epoch_stubborn_tokens`` (int32, of all records shown so
        far, those at or below one half when last seen). Of records that were not learnt ``unseen_p``,
        ``unseen_token_rank``, ``unseen_num_tokens`` and ``unseen_first_failure``, where there are any.
    """
    certificate, manifest = bundle.certificate, bundle.manifest
    right = free_rights(certificate)
    earliest = [min(record.stubborn_positions, default=NONE) for record in certificate.records]
    tokens = _by_token(certificate)
    p_A, failures = tokens["p"], tokens["first_failure"].tolist()
    tokens |= {
        "nll_nats": np.array([nll for record in certificate.records for nll in record.nll_nats], np.float32),
        "is_free_right": np.concatenate(right),
        "earliest_stubborn": np.array(earliest, np.int32),
        "epoch_nll_nats": np.array([event.nll_nats for event in events], np.float32),
        "epoch_stubborn_tokens": np.array([event.num_stubborn_tokens for event in events], np.int32),
    }
    if unseen is not None:
        tokens |= {f"{UNSEEN}_{name}": values for name, values in _by_token(unseen).items()}
    numbers = Measured(
        lora_rank=manifest.summary.lora_rank,
        num_parameters=manifest.summary.num_parameters,
        num_records=certificate.num_records,
        num_answer_tokens=certificate.num_answer_tokens,
        nll_before_nats=manifest.nll_before_nats,
        nll_after_nats=certificate.nll_nats,
        token_accuracy=certificate.token_accuracy,
        free_token_accuracy=float(tokens["is_free_right"].mean()),
        exact_match=certificate.exact_match,
        unseen_exact_match=None if unseen is None else unseen.exact_match,
        num_certified=certificate.num("certified"),
        num_recited=certificate.num("recited"),
        share_above_threshold=float((p_A > CERTIFIED_PROBABILITY).mean()),
        min_probability=certificate.min_probability,
        earliest_stubborn_position=min((at for at in earliest if at != NONE), default=None),
        first_failure_position=min((at for at in failures if at != NONE), default=None),
        epochs=manifest.summary.epochs,
        weights_epoch=manifest.weights_epoch,
        last_epoch_nll_nats=events[-1].nll_nats,
        stop_reason=manifest.stop_reason,  # pyright: ignore[reportArgumentType] - pydantic holds it to the three
        has_converged=has_converged(
            manifest.stop_reason,  # pyright: ignore[reportArgumentType]
            events,
            manifest.nll_before_nats,
            certificate.num_answer_tokens,
        ),
        seconds=costs.seconds,
        train_seconds=manifest.summary.train_seconds,
        peak_memory_bytes=costs.peak_memory_bytes,
        dtype=certificate.numerics.dtype,
        device=certificate.numerics.device_name,
        num_threads=certificate.numerics.num_threads,
        base_weights_sha256=certificate.subject.base_weights_sha256,
        torch_version=certificate.numerics.versions["torch"],
        transformers_version=certificate.numerics.versions["transformers"],
    )
    return numbers, save(tokens)


def _by_token(certificate: Certificate) -> dict[str, np.ndarray]:
    """What the tokens' file has of records, learnt or not."""
    failures = [NONE if (at := record.first_failure) is None else at.position for record in certificate.records]
    return {
        "p": np.array([p for record in certificate.records for p in record.p], np.float32),
        "token_rank": np.array([rank for record in certificate.records for rank in record.token_rank], np.int32),
        "num_tokens": np.array([len(record.p) for record in certificate.records], np.int32),
        "first_failure": np.array(failures, np.int32),
    }


def free_rights(certificate: Certificate) -> list[np.ndarray]:
    """Of each record, at which of its answer's places the free run has the answer's token, bool.

    Args:
        certificate: of schema 2 or later, which has the runs.
    """
    return [_free_right(record) for record in certificate.records]


def _free_right(record: RecordCertificate) -> np.ndarray:
    right = np.ones(len(record.token_ids), dtype=np.bool_)
    if (failure := record.first_failure) is not None:
        assert failure.run_ids is not None, "a cell is certified before it is measured"
        wanted = np.array(record.token_ids[failure.position :])
        came = np.full_like(wanted, NONE)  # where the run ended early nothing came
        came[: len(failure.run_ids)] = failure.run_ids
        right[failure.position :] = wanted == came
    return right


def begin_peak(device: torch.device) -> None:
    """Forgets what memory was in use at most so far, where the system can."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    with contextlib.suppress(OSError):
        _RESET.write_text("5")  # Linux: the high-water mark of resident memory begins anew


def peak_memory(device: torch.device) -> int | None:
    """Most memory in use since `begin_peak`, bytes: the card's, or the process' resident memory; None where the system
    does not tell.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    with contextlib.suppress(OSError):
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return None
