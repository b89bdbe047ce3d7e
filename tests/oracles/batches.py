"""Answer tokens of a batch, as plain lists and as the packed tensors a weighting sees; and random runs of them."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from byheart.method.weighting import TokenBatch


@dataclass(frozen=True)
class Step:
    """One training step's view of its records: ids, losses and errors, record by record."""

    ids: list[str]
    nll: list[list[float]]
    errors: list[list[bool]]

    def arranged(self, order: Sequence[int]) -> "Step":
        """The same records, or some of them, in another order."""
        return Step([self.ids[i] for i in order], [self.nll[i] for i in order], [self.errors[i] for i in order])

    def packed(self) -> TokenBatch:
        return TokenBatch(
            nll_A=torch.tensor([one for nll in self.nll for one in nll], dtype=torch.float32),
            is_argmax_A=torch.tensor([not one for errors in self.errors for one in errors], dtype=torch.bool),
            record_A=torch.tensor([i for i, nll in enumerate(self.nll) for _ in nll], dtype=torch.int64),
            position_A=torch.tensor([position for nll in self.nll for position in range(len(nll))], dtype=torch.int64),
            record_ids=tuple(self.ids),
        )


def by_record(weight_A: Tensor, step: Step) -> dict[str, list[float]]:
    """Packed weights, unpacked: record id → the weights of its tokens."""
    pieces = weight_A.split([len(nll) for nll in step.nll])
    return {key: piece.tolist() for key, piece in zip(step.ids, pieces, strict=True)}


def one_record(nll: list[float], first_error: int | None = None, key: str = "a") -> Step:
    """A step with a single record that fails at ``first_error`` alone, or nowhere."""
    return Step([key], [nll], [[position == first_error for position in range(len(nll))]])


def random_run(seed: int, num_records: int = 4, num_steps: int = 10, longest: int = 260) -> list[Step]:
    """Steps of a made-up training: records come and go, in any order, and a first error mostly stays where it is.

    Losses are fp32 numbers, many of them near ln 2; answers are long enough for a window to end inside them.
    """
    rng = random.Random(seed)
    lengths = {f"record {i}": rng.choice([1, 2, 7, rng.randint(1, longest)]) for i in range(num_records)}
    first_errors: dict[str, int | None] = dict.fromkeys(lengths)
    run: list[Step] = []
    for _ in range(num_steps):
        ids = rng.sample(list(lengths), rng.choice([num_records, rng.randint(1, num_records)]))
        nll: list[list[float]] = []
        errors: list[list[bool]] = []
        for key in ids:
            if rng.random() < 0.25:
                first_errors[key] = rng.choice([None, rng.randrange(lengths[key])])
            first = first_errors[key]
            nll.append([_loss(rng) for _ in range(lengths[key])])
            errors.append(
                [first is not None and (t == first or (t > first and rng.random() < 0.3)) for t in range(lengths[key])]
            )
        run.append(Step(ids, nll, errors))
    return run


def _loss(rng: random.Random) -> float:
    drawn = rng.choice([rng.uniform(0.0, 0.1), rng.uniform(0.6, 0.8), rng.expovariate(0.3)])
    return float(torch.tensor(drawn, dtype=torch.float32))
