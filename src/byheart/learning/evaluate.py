"""How well each record is known, from cached activations and without gradients: before learning, the loss there is to
lose; while learning, a cheap look before the full pass that decides.

Tensor names: A packed answer tokens, N records.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from byheart.learning.activations import PREFIX_BATCH_TOKENS, ActivationCache
from byheart.learning.loss import CHUNK_TOKENS, by_record, token_losses
from byheart.learning.shortlist import NUM_LIKELY_EACH, Shortlist, Vocabulary
from byheart.memory.batch import MemoryBatch
from byheart.memory.buckets import by_length
from byheart.model.split import SplitModel

MOST_POSITIONS = 2048
WELL_KNOWN = 0.9
"""Probability from which a token is in no doubt, and has no rival worth a name."""
NUM_RIVALS = 4


@dataclass(frozen=True, slots=True)
class RecordLosses:
    """What each record's answer tokens show; losses in nats, fp32, on the CPU.

    Attributes:
        sum_N: over the record's tokens.
        worst_N: of its least probable token.
        num_stubborn_N: tokens at or below p = 0.5, int64.
        rivals: words that stand closest to the tokens that are not well known, sorted; none of an estimate.
    """

    sum_N: Tensor
    worst_N: Tensor
    num_stubborn_N: Tensor
    rivals: tuple[int, ...] = ()


@torch.no_grad()
def record_losses(
    split_model: SplitModel,
    activations: ActivationCache,
    shortlist: Shortlist | None = None,
    *,
    find_rivals: bool = False,
) -> RecordLosses:
    """The losses of every record under the model as it stands: with an adapter where the caller has attached one.

    Args:
        split_model: cut at or below the adapter's lowest layer.
        activations: ``split_model.prefix`` of every record.
        shortlist: the words to estimate with, all words where the estimate leaves a token in doubt: one word that the
            sample overrates does not make a record seem lost. None: all words, exactly.
        find_rivals: whether to name the words in the answers' way.
    """
    num_records = len(activations.memory)
    sum_N, worst_N = torch.zeros(num_records), torch.zeros(num_records)
    num_stubborn_N = torch.zeros(num_records, dtype=torch.int64)
    rivals: set[int] = set()
    for indices, batch, final_AD in _final_states(split_model, activations):
        nll_A = token_losses(split_model.head, final_AD, batch.target_A, shortlist=shortlist)[0]
        is_doubtful_A = nll_A > -math.log(WELL_KNOWN)
        if shortlist is not None:
            doubtful = final_AD[is_doubtful_A], batch.target_A[is_doubtful_A]
            nll_A[is_doubtful_A] = token_losses(split_model.head, *doubtful)[0]
        nll_A, record_A = nll_A.cpu(), batch.record_A.cpu()
        sum_N[indices] = torch.zeros(len(indices)).index_add(0, record_A, nll_A)
        worst_N[indices], num_stubborn_N[indices] = by_record(nll_A, record_A, len(indices))
        if find_rivals:
            rivals |= _words_ahead(split_model, final_AD[is_doubtful_A], NUM_RIVALS)
    return RecordLosses(sum_N, worst_N, num_stubborn_N, tuple(sorted(rivals)))


@torch.no_grad()
def likely_words(split_model: SplitModel, activations: ActivationCache) -> Vocabulary | None:
    """The words that a step must not leave to chance: all answer tokens, and what the model as it stands finds likely
    where they are predicted; looked up at no more than `MOST_POSITIONS` of those places.

    Returns:
        The vocabulary to draw shortlists from; None where that would not save much, or the model cannot.
    """
    if not split_model.picks_words:
        return None
    device = split_model.model.device
    records = activations.memory.records
    found = {word for record in records for word in record.answer_ids}
    num_seen = 0
    for _, _, final_AD in _final_states(split_model, activations):
        found |= _words_ahead(split_model, final_AD[: MOST_POSITIONS - num_seen], NUM_LIKELY_EACH)
        num_seen += len(final_AD)
        if num_seen >= MOST_POSITIONS:
            break
    num_words = split_model.model.get_output_embeddings().weight.shape[0]
    vocabulary = Vocabulary(torch.tensor(sorted(found), device=device), num_words)
    return vocabulary if vocabulary.pays else None


def _final_states(
    split_model: SplitModel, activations: ActivationCache
) -> Iterator[tuple[list[int], MemoryBatch, Tensor]]:
    """All records in batches of similar length: their indices, the batch, and final_AD, what their answer tokens are
    predicted from.
    """
    for indices in by_length(activations.lengths, PREFIX_BATCH_TOKENS, activations.num_shared):
        batch, hidden = activations.batch(indices)
        yield indices, batch, split_model.suffix(hidden, batch.predicting_A)


def _words_ahead(split_model: SplitModel, final_AD: Tensor, num_each: int) -> set[int]:
    """The ``num_each`` most probable words of every position, together."""
    words: set[int] = set()
    for final_CD in final_AD.split(CHUNK_TOKENS) if len(final_AD) else ():
        words.update(split_model.head(final_CD).topk(num_each).indices.flatten().tolist())
    return words
