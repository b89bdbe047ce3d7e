"""Adapter + memory → certificate: a full, uncached forward pass over every record, then the free run.

Nothing that training computed is used; a full pass that was made of the very same weights need not be made again. Every
layer runs on the whole sequence; the logits are taken at the answer positions, in chunks.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from byheart.certification.certificate import Certificate, Failure, Numerics, RecordCertificate, Subject, Verdict
from byheart.certification.config import CertifyConfig
from byheart.certification.recite import free_run
from byheart.certification.tokens import TokenScores, score
from byheart.memory.batch import collate
from byheart.memory.buckets import by_length
from byheart.memory.encode import EncodedMemory, EncodedRecord
from byheart.memory.tokenizer import text_of
from byheart.method.weighting import CERTIFIED_PROBABILITY
from byheart.model.adapter import Adapter, attached
from byheart.model.base import Base
from byheart.model.split import SplitModel

LOGIT_CHUNK_TOKENS = 512
SCORED_TOKENS = 64
"""Answer tokens whose logits are in fp32 at once, several times over."""


@dataclass(frozen=True, slots=True)
class FullPass:
    """What a full pass over every record found.

    Attributes:
        adapter_sha256: of the adapter at work, as saved.
        memory_fingerprint: of the records, as the model reads them.
        config: how they were batched.
        scores: of the answer tokens of each record, by its index; on the CPU.
    """

    adapter_sha256: str
    memory_fingerprint: str
    config: CertifyConfig
    scores: Mapping[int, TokenScores]


def certify(
    base: Base,
    adapter: Adapter,
    memory: EncodedMemory,
    config: CertifyConfig = CertifyConfig(),  # noqa: B008 - frozen
    advance: Callable[[int], None] = lambda _: None,
    full_pass: FullPass | None = None,
) -> Certificate:
    """Measures every record of ``memory`` with ``adapter`` on ``base``.

    Args:
        base: the frozen model.
        adapter: its weights are first rounded to the dtype they are saved in; the adapter itself is not changed.
        memory: the records.
        config: see `CertifyConfig`.
        advance: told a number of records after each batch, of twice the memory's in all (scored, then recited).
        full_pass: one that need not be made again, where it is of this very adapter, memory and ``config``.
    """
    saved = adapter.rounded(base.dtype)
    with attached(base.model, saved):
        return certify_as_it_stands(base, saved.sha256(base.dtype), memory, config, advance, full_pass)


def certify_as_it_stands(
    base: Base,
    adapter_sha256: str,
    memory: EncodedMemory,
    config: CertifyConfig = CertifyConfig(),  # noqa: B008 - frozen
    advance: Callable[[int], None] = lambda _: None,
    full_pass: FullPass | None = None,
) -> Certificate:
    """Measures every record of ``memory`` on ``base`` with whatever adapter is at work in its model, however it got
    there.

    Args:
        base: the frozen model.
        adapter_sha256: what the certificate calls that adapter.
        memory: the records.
        config: see `CertifyConfig`.
        advance: as for `certify`.
        full_pass: as for `certify`.
    """
    scored: Iterable[tuple[int, TokenScores]]
    asked = adapter_sha256, memory.fingerprint, config
    if full_pass is not None and (full_pass.adapter_sha256, full_pass.memory_fingerprint, full_pass.config) == asked:
        scored = full_pass.scores.items()
    else:
        scored = score_records(base, memory, config)
    scores: dict[int, TokenScores] = {}
    for index, record_scores in scored:
        scores[index] = record_scores
        advance(1)
    runs = free_run(base, memory, config.max_batch_tokens, advance)
    texts = TokenTexts(base)
    records = tuple(_judge(record, scores[index], runs[index], texts) for index, record in enumerate(memory.records))
    subject = _subject(base, adapter_sha256, memory)
    return Certificate(subject=subject, numerics=_numerics(base, config), records=records)


@torch.no_grad()
def score_records(base: Base, memory: EncodedMemory, config: CertifyConfig) -> Iterator[tuple[int, TokenScores]]:
    """One full pass: the scores of every record's answer tokens, on the CPU.

    Args:
        base: the frozen model, with whatever adapter is at work in it.
        memory: the records.
        config: see `CertifyConfig`.

    Yields:
        Index of a record in the memory, and its scores; in order of length.
    """
    whole = SplitModel(base.model, cut=None)
    for indices in by_length([record.num_tokens for record in memory.records], config.max_batch_tokens):
        batch = collate([memory.records[i] for i in indices], memory.pad_id)
        target_A = batch.target_A.to(base.device)
        tokens = whole.prefix(batch.tokens_BT.to(base.device))
        final_AD = whole.suffix(tokens, batch.predicting_A.to(base.device))
        parts: list[TokenScores] = []
        for chunk in _slices(len(target_A), LOGIT_CHUNK_TOKENS):
            logits_CV, target_C = whole.head(final_AD[chunk]), target_A[chunk]
            parts += [score(logits_CV[part], target_C[part]) for part in _slices(len(target_C), SCORED_TOKENS)]
        scores = TokenScores.joined(parts).cpu()
        for row, index in enumerate(indices):
            yield index, scores[batch.record_A == row]


def _slices(length: int, size: int) -> list[slice]:
    return [slice(start, start + size) for start in range(0, length, size)]


def full_pass_above(
    base: Base, adapter: Adapter, memory: EncodedMemory, config: CertifyConfig, probability: float
) -> FullPass | None:
    """A full pass, with the weights rounded as they are saved, that finds every answer token above ``probability``.

    Returns:
        None where one is not: the pass ends at the first such record.
    """
    saved = adapter.rounded(base.dtype)
    scores: dict[int, TokenScores] = {}
    with attached(base.model, saved):
        for index, record_scores in score_records(base, memory, config):
            if not bool((record_scores.p_A > probability).all()):
                return None
            scores[index] = record_scores
    return FullPass(saved.sha256(base.dtype), memory.fingerprint, config, scores)


def _judge(record: EncodedRecord, scores: TokenScores, run_ids: Sequence[int], texts: TokenTexts) -> RecordCertificate:
    """The verdict on one record from its full pass and its free run."""
    failure = first_failure(record.answer_ids, run_ids, texts)
    p = _shortest(scores.p_A)
    verdict: Verdict
    if failure is not None:
        verdict = "failed"
    elif all(value > CERTIFIED_PROBABILITY for value in p):
        verdict = "certified"
    else:
        verdict = "recited"
    return RecordCertificate(
        id=record.id,
        verdict=verdict,
        tokens=tuple(texts[token_id] for token_id in record.answer_ids),
        token_ids=record.answer_ids,
        p=p,
        nll_nats=_shortest(scores.nll_A),
        token_rank=_integers(scores.token_rank_A),
        logit_margin=_shortest(scores.logit_margin_A),
        rival=tuple(texts[token_id] for token_id in _integers(scores.rival_A)),
        first_failure=failure,
    )


def _shortest(values_A: torch.Tensor) -> tuple[float, ...]:
    """fp32 values as the shortest decimals that read back to them, so that no verdict changes in the file."""
    return tuple(float(str(value)) for value in values_A.numpy().astype(np.float32))


def _integers(values_A: torch.Tensor) -> tuple[int, ...]:
    return tuple(int(value) for value in values_A.numpy())


class TokenTexts:
    """Text of single tokens, decoded once each."""

    def __init__(self, base: Base) -> None:
        self._tokenizer = base.tokenizer
        self._known: dict[int, str] = {}

    def __getitem__(self, token_id: int) -> str:
        if token_id not in self._known:
            self._known[token_id] = text_of(self._tokenizer, [token_id])
        return self._known[token_id]


def first_failure(answer_ids: Sequence[int], run_ids: Sequence[int], texts: TokenTexts) -> Failure | None:
    """Where a free run, in whatever engine, first left the answer; None where it gave all of it back."""
    for at, expected in enumerate(answer_ids):
        came = run_ids[at] if at < len(run_ids) else None
        if came != expected:
            return Failure(
                position=at,
                expected=texts[expected],
                got="" if came is None else texts[came],
                run_ids=tuple(run_ids[at : len(answer_ids)]),
            )
    return None


def _subject(base: Base, adapter_sha256: str, memory: EncodedMemory) -> Subject:
    return Subject(
        base_name=base.identity.name,
        base_architecture=base.identity.architecture,
        base_revision=base.identity.revision,
        base_weights_sha256=base.identity.weights_sha256,
        adapter_sha256=adapter_sha256,
        tokenizer_fingerprint=memory.tokenizer_fingerprint,
        template_fingerprint=memory.template_fingerprint,
        prompt_fingerprint=memory.prompt_fingerprint,
        memory_fingerprint=memory.fingerprint,
    )


def _numerics(base: Base, config: CertifyConfig) -> Numerics:
    return Numerics(
        dtype=base.identity.dtype,
        device=base.identity.device,
        device_name=_device_name(base.device),
        attention=base.identity.attention,
        max_batch_tokens=config.max_batch_tokens,
        num_threads=torch.get_num_threads(),
        versions={
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in ("byheart", "torch", "transformers")},
        },
    )


def _device_name(device: torch.device) -> str:
    """The card's name, or the processor's and the instructions that torch uses of it: both decide the rounding."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{_processor_name()} ({torch.backends.cpu.get_cpu_capability()})"


def _processor_name(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    # Python's own platform.processor() is empty or "x86_64" on Linux.
    with contextlib.suppress(OSError):
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name" and value.strip():
                return value.strip()
    return platform.processor() or platform.machine()
