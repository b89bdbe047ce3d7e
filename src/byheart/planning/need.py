"""What a memory asks of an adapter, measured: how many answer tokens, and how far the base model is from them.

One pass over the records through the base model alone, without gradients.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from torch import Tensor

from byheart.config import RunConfig
from byheart.law.plan import Need
from byheart.learning.activations import ActivationCache, compute_activations
from byheart.learning.evaluate import record_losses
from byheart.memory.encode import EncodedMemory, encode
from byheart.memory.records import Memory
from byheart.model.base import Base
from byheart.model.placement import Placement
from byheart.model.split import SplitModel, split
from byheart.progress import Reporter

_SMALLEST_NLL_NATS = 1e-6
"""Stands for the loss of what the base model knows for certain, which rounds to nothing; its logarithm is asked for."""


def measured_need(memory: Memory, base: Base, config: RunConfig, outline: Placement, reporter: Reporter) -> Need:
    """What ``memory`` asks of an adapter.

    Args:
        memory: the records.
        base: the model.
        config: how records are encoded, and how much memory the pass may take.
        outline: where the adapter would sit, of any rank.
        reporter: told how far the pass is.

    Raises:
        RecordsError: records that cannot be learnt with this model.
    """
    encoded = encode(memory, base.tokenizer, config.encode, base.max_tokens)
    split_model = split(base.model, outline.layers[0])
    with reading(encoded, split_model, base, config, reporter) as activations:
        return need_of(encoded, record_losses(split_model, activations).sum_N)


@contextmanager
def reading(
    encoded: EncodedMemory,
    split_model: SplitModel,
    base: Base,
    config: RunConfig,
    reporter: Reporter,
    directory: Path | None = None,
) -> Iterator[ActivationCache]:
    """The records' activations below the adapter, for the length of a block.

    Args:
        encoded: the records.
        split_model: the model, cut there.
        base: the model.
        config: how much memory they may take.
        reporter: told how far the pass is.
        directory: for what memory does not hold; None: one of its own, gone with the block.
    """
    with tempfile.TemporaryDirectory() as temporary:
        with reporter.phase("reading", len(encoded)) as advance:
            activations = compute_activations(
                split_model,
                encoded,
                base.device,
                memory_budget_bytes=config.learn.activation_memory_bytes,
                directory=directory or Path(temporary),
                advance=advance,
            )
        with closing(activations):
            yield activations


def need_of(encoded: EncodedMemory, nll_before_N: Tensor) -> Need:
    """The same from losses that are known.

    Args:
        encoded: the records.
        nll_before_N: the loss of each, summed over its answer tokens, nats.
    """
    nll_nats = float(nll_before_N.sum()) / encoded.num_answer_tokens
    return Need(len(encoded), encoded.num_answer_tokens, max(nll_nats, _SMALLEST_NLL_NATS))
