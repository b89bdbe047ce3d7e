"""A few words that stand for the whole vocabulary while learning.

The output head is the largest product of a step: every answer token against every word, when most words never come near
being said. So the words that do, the answers' own and those that the model found likely before it learnt, are taken
exactly, and of all others a fresh sample, whose share of the softmax's sum is scaled up to theirs:

    Z = Σ_likely exp(z) + (num_others / num_sampled) · Σ_sample exp(z)          E[Z] = Σ_vocabulary exp(z)

An estimate only steers: what counts as learnt is measured over the whole vocabulary. A word that is found in an
answer's way there joins the likely ones, as a sample would meet it too seldom.

Tensor names: A answer tokens, K words of the shortlist, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

NUM_LIKELY_EACH = 16
NUM_SAMPLED = 1024
_LARGEST_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Shortlist:
    """The words of one step.

    Attributes:
        word_K: distinct ids, int64.
        weight_log_K: log of the number of words that each stands for, fp32: 0 for the likely ones.
        place_V: each word's index into K; -1 for what is not among the likely words.
    """

    word_K: Tensor
    weight_log_K: Tensor
    place_V: Tensor

    def place(self, word_A: Tensor) -> Tensor:
        """Where likely words stand in the shortlist."""
        return self.place_V[word_A]


class Vocabulary:
    """The likely words of a memory, and the others to sample from.

    Args:
        likely: ids that are always in the shortlist, every answer token among them; sorted, distinct, int64.
        num_words: V.
        num_sampled: others a step.
    """

    def __init__(self, likely: Tensor, num_words: int, num_sampled: int = NUM_SAMPLED) -> None:
        self.num_words, self.num_sampled = num_words, num_sampled
        self._set(likely)

    def _set(self, likely: Tensor) -> None:
        self.likely = likely
        self.place_V = torch.full((self.num_words,), -1, dtype=torch.int64, device=likely.device)
        self.place_V[likely] = torch.arange(len(likely), device=likely.device)
        self.others = (self.place_V < 0).nonzero()[:, 0]

    def admit(self, words: Iterable[int]) -> bool:
        """Counts more words among the likely ones: those that a look at the whole vocabulary found in the way. False
        where they would make the list nearly the vocabulary, which saves nothing: then all stays as it is.
        """
        known = set(self.likely.tolist())
        new = set(words) - known
        if not self._pays(len(known) + len(new)):
            return False
        if new:
            self._set(torch.tensor(sorted(known | new), device=self.likely.device))
        return True

    @property
    def num_listed(self) -> int:
        """Words of a step's shortlist."""
        return len(self.likely) + self.num_sampled

    @property
    def pays(self) -> bool:
        """Whether a shortlist is much smaller than the vocabulary."""
        return self._pays(len(self.likely))

    def _pays(self, num_likely: int) -> bool:
        return num_likely + self.num_sampled < _LARGEST_SHARE * self.num_words

    def draw(self, seed: int) -> Shortlist:
        """The shortlist of one step; the same seed gives the same words."""
        generator = torch.Generator().manual_seed(seed)
        # With replacement: what is drawn twice counts twice, and the sum's expectation stays right.
        drawn = torch.randint(len(self.others), (self.num_sampled,), generator=generator).to(self.others.device)
        weight_log_K = torch.zeros(self.num_listed, device=self.likely.device)
        weight_log_K[len(self.likely) :] = math.log(len(self.others) / self.num_sampled)
        return Shortlist(torch.cat([self.likely, self.others[drawn]]), weight_log_K, self.place_V)
