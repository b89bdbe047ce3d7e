"""A cell: one run, fully resolved, and what came of it.

A cell's name is the beginning of its fingerprint, which is taken over every setting of the run and of the task, and
over the records as this model's tokenizer and template encode them: what differs in any of them is another cell.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from byheart.config import RunConfig
from byheart.fingerprint import fingerprint
from byheart.memory.record import Record, turns
from byheart.memory.records import Memory
from byheart.tasks.registry import TaskConfig

CELL_VERSION = 5
"""Of how a cell is run and measured: raised with `byheart.learning.config.ENGINE_VERSION`, and when the same run is
measured in another way, by more than rounding. 2: whether a run has converged is judged by its loss alone where every
epoch visits every record. 3: a budget is counted in visits, so that a run in which records rest has more epochs. 4: a
loss that rises at the end has not converged. 5: memories of more than 30 steps a pass are learnt at a lower rate."""
PROMPT_SHARE = 1 / 8
"""Of an answer token's time, what a prompt's takes: it does not pass the head, and what prompts share runs once a step.
So counted, long texts took 3.4 and 3.6 ms a unit on the embedded model, PhoneBook 3.1 and 2.5 (v_proj, down_proj, one
thread, whole vocabulary); by plain tokens it is 2.6, 2.4, 1.0 and 0.8."""
NAME_DIGITS = 16
"""64 bits: that two of 10,000 cells share a name has a chance of 3 in 10^12."""


@dataclass(frozen=True)
class Cell:
    """One run to be done.

    Attributes:
        run: its settings.
        task: where its records come from.
        axes: full name of each axis → the cell's value there.
        memory: its records.
        encoded_fingerprint: of the records as the model reads them.
        num_answer_tokens: ℓ, with the ends of turns where those are learnt.
        num_tokens: of prompts and answers together.
        unseen: records of the task's kind that are not learnt and asked for all the same; None: the task has none.
        num_unseen_tokens: of theirs, prompts and answers together.
    """

    run: RunConfig
    task: TaskConfig
    axes: Mapping[str, Any]
    memory: Memory = field(repr=False)
    encoded_fingerprint: str
    num_answer_tokens: int
    num_tokens: int
    unseen: Memory | None = field(default=None, repr=False)
    num_unseen_tokens: int = 0

    @cached_property
    def fingerprint(self) -> str:
        """Identity: equal where every setting and every record is."""
        asked = {} if self.unseen is None else {"unseen": self.unseen.fingerprint}
        return fingerprint(
            {"version": CELL_VERSION, "run": self.run, "task": self.task, "records": self.encoded_fingerprint, **asked}
        )

    @property
    def name(self) -> str:
        """What its folder is called."""
        return self.fingerprint[:NAME_DIGITS]

    @property
    def work(self) -> int:
        """What it may take at most, for comparison with other cells: answer tokens that steps go through, a prompt's
        token counted as a part of one, and tokens of unseen records.
        """
        prompts = round(PROMPT_SHARE * (self.num_tokens - self.num_answer_tokens))
        budget_epochs = self.run.learn.budget_epochs(len(self.memory))
        return budget_epochs * (self.num_answer_tokens + prompts) + self.num_unseen_tokens

    def plain_records(self) -> list[dict[str, Any]]:
        """The records as JSON holds them; `Memory.from_pairs` reads them back."""
        return [_plain(record) for record in self.memory]

    def plain_unseen(self) -> list[dict[str, Any]]:
        """Likewise those that are not learnt."""
        return [_plain(record) for record in self.unseen or ()]


def _plain(record: Record) -> dict[str, Any]:
    messages = [{"role": turn.role, "content": turn.content} for turn in turns(record.prompt)]
    return {"id": record.id, "messages": [*messages, {"role": "assistant", "content": record.answer}]}


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)


class Measured(_Document):
    """What a run came to. Means are over all answer tokens of all records; positions count answer tokens from 0."""

    lora_rank: int
    """At the end of the run."""
    num_parameters: int
    """Of the adapter."""
    num_records: int
    num_answer_tokens: int
    """ℓ, with the ends of turns where those are learnt."""
    nll_before_nats: float
    """L_before: mean loss without an adapter."""
    nll_after_nats: float
    """L_after: mean loss with it, by the certificate's full pass."""
    token_accuracy: float
    """Share of answer tokens that are the argmax given the right answer before them."""
    free_token_accuracy: float
    """Share of answer tokens that the free run has at their place."""
    exact_match: float
    """Share of records that the free run gives back to the letter."""
    unseen_exact_match: float | None = None
    """The same of the task's records that were not learnt: how it generalises; null where the task has none."""
    num_certified: int
    """Records whose every token is above p = 0.5 and which the free run confirms."""
    num_recited: int
    """Records that the free run gives back although some token is not."""
    share_above_threshold: float
    """Share of answer tokens with p > 0.5."""
    min_probability: float
    """Of all answer tokens."""
    earliest_stubborn_position: int | None
    """Smallest position in its record, over all records, of a token at or below p = 0.5; null where there is none. By
    record in the tokens' file."""
    first_failure_position: int | None
    """i*: smallest position, over all records, at which a free run leaves its answer; null where none does. By record
    in the tokens' file."""
    epochs: int
    """Run."""
    weights_epoch: int
    """The epoch that the measured weights are of."""
    last_epoch_nll_nats: float
    """Mean loss of the answer tokens that the last epoch visited, each measured before the step that followed. Of a run
    that visits all records it is what L_after would be of the last weights: where the two differ much, others were
    kept."""
    stop_reason: Literal["certified", "budget", "plateau"]
    has_converged: bool
    """See `byheart.sweep.convergence`."""
    seconds: float
    """The whole run, unseen records asked among it; loading of the base model not counted."""
    train_seconds: float
    """Of training steps."""
    peak_memory_bytes: int | None
    """Of the process, or of the card where it ran on one; null where the system does not tell."""
    dtype: str
    device: str
    num_threads: int
    base_weights_sha256: str | None
    """Of the base model; null where only the hub's commit is known."""
    torch_version: str | None = None
    """Under which it was measured; null in cells of schema 1, which do not tell."""
    transformers_version: str | None = None
    """Likewise."""

    @property
    def nll_drop_nats(self) -> float:
        """ΔL."""
        return self.nll_before_nats - self.nll_after_nats


TIMES = ("seconds", "train_seconds", "peak_memory_bytes")
"""What no two runs of one cell have in common."""


class CellResult(_Document):
    """A cell that was run, or failed; what its folder says."""

    fingerprint: str
    status: Literal["done", "failed"]
    error: str | None
    """Why it failed."""
    traceback: str | None
    """Where, if that was no mistake in the settings."""
    attempts: int
    """How often it was begun; a worker that is lost ends an attempt."""
    run: dict[str, Any]
    """All settings of the run."""
    task: dict[str, Any]
    """All settings of the task."""
    axes: dict[str, Any]
    """Full name of each axis → value."""
    num_records: int
    num_answer_tokens: int
    byheart_version: str
    measured: Measured | None
    """Null where it failed."""

    @property
    def name(self) -> str:
        """The cell's."""
        return self.fingerprint[:NAME_DIGITS]

    @property
    def placement(self) -> str:
        """Adapted layers and modules."""
        return f"{self.run['placement']['layers']}/{self.run['placement']['modules']}"
