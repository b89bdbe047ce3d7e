"""The certificate: what was measured, under which numerics, and the verdict for each record.

Verdicts:
    certified   every answer token, the end of turn included, has p > 0.5, and the free run confirms it
    recited     the free run gives the answer to the letter, but some token has p ≤ 0.5
    failed      the free run differs; the first failing position says what was expected and what came

A certificate speaks of the numerics it names and of no others.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from byheart.artifacts import read_json, write_json
from byheart.errors import ArtifactError
from byheart.method.config import CERTIFIED_PROBABILITY

KIND = "certificate"
SCHEMA_VERSION = 2

Verdict = Literal["certified", "recited", "failed"]


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Subject(_Document):
    """What was measured: base model, adapter, tokens."""

    base_name: str
    """The base model as the user named it."""
    base_architecture: str
    """transformers' class."""
    base_revision: str | None
    """The hub's commit; null for a directory."""
    base_weights_sha256: str | None
    """Hash over the base's weight files; null where only the commit is known."""
    adapter_sha256: str
    """Hash over the adapter's tensors as saved."""
    tokenizer_fingerprint: str
    """Hash of the tokenizer."""
    template_fingerprint: str
    """Hash of the chat template and its settings."""
    prompt_fingerprint: str
    """Hash of every record's exact prompt ids."""
    memory_fingerprint: str
    """Hash of every record's prompt ids and answer ids."""


class Numerics(_Document):
    """Under which numerics: another engine, dtype or batch shape rounds differently."""

    dtype: str
    """Of weights and activations."""
    device: str
    """Type of device."""
    device_name: str
    """The processor's or card's own name."""
    attention: str
    """Attention implementation."""
    max_batch_tokens: int
    """Padded tokens of a batch, at most; records are taken by length."""
    num_threads: int
    """Processor threads."""
    versions: dict[str, str]
    """byheart, Python, torch, transformers."""


class Failure(_Document):
    """Where a free run first left the answer."""

    position: int
    """Index of the answer token, from 0."""
    expected: str
    """Text of the answer's token."""
    got: str
    """Text of what came; empty where the run ended early."""
    run_ids: tuple[int, ...] | None = None
    """Ids of the free run from there on, one for each place that the answer has left; fewer where the run ended early.
    Null in a file of schema 1, which does not have them."""


class RecordCertificate(_Document):
    """One record's verdict and its answer tokens, in order; all lists have one entry a token."""

    id: str
    """The record's id."""
    verdict: Verdict
    """certified, recited or failed."""
    tokens: tuple[str, ...]
    """Text of each token; a token that is part of a character shows as the replacement character."""
    token_ids: tuple[int, ...]
    """Ids of the answer tokens, the end of turn last where it is learnt."""
    p: tuple[float, ...]
    """Probability given the prompt and the answer before it."""
    nll_nats: tuple[float, ...]
    """−ln p."""
    token_rank: tuple[int, ...]
    """1: the most probable token."""
    logit_margin: tuple[float, ...]
    """Logit less the largest other logit."""
    rival: tuple[str, ...]
    """Text of the token with that other logit."""
    first_failure: Failure | None
    """Null unless failed."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        num_tokens = len(self.token_ids)
        lists = (self.tokens, self.p, self.nll_nats, self.token_rank, self.logit_margin, self.rival)
        if not num_tokens or any(len(each) != num_tokens for each in lists):
            raise ValueError("it must have at least one token, and in every list one entry a token")
        if (self.verdict == "failed") != (self.first_failure is not None):
            raise ValueError("first_failure belongs to the verdict failed, and to no other")
        if self.first_failure is not None and not 0 <= self.first_failure.position < num_tokens:
            raise ValueError(f"first_failure is at position {self.first_failure.position} of {num_tokens} tokens")
        if self.first_failure is not None and self.first_failure.run_ids is not None:
            wanted, came = self.token_ids[self.first_failure.position :], self.first_failure.run_ids
            if len(came) > len(wanted) or came[:1] == wanted[:1]:
                raise ValueError("first_failure.run_ids must leave the answer at once, and be no longer than it")
        return self

    @property
    def stubborn_positions(self) -> tuple[int, ...]:
        """Positions at or below p = 0.5."""
        return tuple(i for i, p in enumerate(self.p) if not p > CERTIFIED_PROBABILITY)

    @property
    def is_contradicted(self) -> bool:
        """Whether the free run failed although every token had p > 0.5: rounding between the two passes exceeded a
        margin.
        """
        return self.verdict == "failed" and not self.stubborn_positions


class Certificate(_Document):
    """What was measured, how, and what came of it."""

    subject: Subject
    numerics: Numerics
    records: Annotated[tuple[RecordCertificate, ...], Field(min_length=1)]
    """In the memory's order; at least one."""

    @property
    def num_records(self) -> int:
        """All records."""
        return len(self.records)

    @property
    def num_answer_tokens(self) -> int:
        """Answer tokens of all records, ends of turn included where learnt."""
        return sum(len(record.p) for record in self.records)

    def num(self, verdict: Verdict) -> int:
        """Number of records with a verdict."""
        return sum(record.verdict == verdict for record in self.records)

    @property
    def exact_match(self) -> float:
        """Share of records that the free run gives back to the letter."""
        return (self.num_records - self.num("failed")) / self.num_records

    @property
    def is_complete(self) -> bool:
        """Whether every record is certified or recited."""
        return self.num("failed") == 0

    @property
    def token_accuracy(self) -> float:
        """Share of answer tokens that are the argmax given the right answer before them."""
        return sum(rank == 1 for record in self.records for rank in record.token_rank) / self.num_answer_tokens

    @property
    def nll_nats(self) -> float:
        """Mean loss of the answer tokens."""
        return math.fsum(nll for record in self.records for nll in record.nll_nats) / self.num_answer_tokens

    @property
    def min_probability(self) -> float:
        """Of all answer tokens."""
        return min(p for record in self.records for p in record.p)

    @property
    def min_logit_margin(self) -> float:
        """Of all answer tokens, nats: how far the closest call was from another token; negative where that won."""
        return min(margin for record in self.records for margin in record.logit_margin)

    def failures(self) -> Iterator[RecordCertificate]:
        """The failed records, in order."""
        return (record for record in self.records if record.verdict == "failed")

    def save(self, path: Path) -> None:
        """Writes the certificate as JSON, whole or not at all."""
        write_json(path, KIND, SCHEMA_VERSION, self.model_dump(mode="json"))

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads a certificate.

        Raises:
            ArtifactError: missing, damaged, or of a newer schema.
        """
        try:
            return cls.model_validate(read_json(path, KIND, SCHEMA_VERSION))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            what = ".".join(map(str, first["loc"])) + ": " + first["msg"].removeprefix("Value error, ")
            more = f" (and {error.error_count() - 1:,} more)" if error.error_count() > 1 else ""
            raise ArtifactError(
                f"{path} is not a whole certificate: {what}{more}; restore it, or learn again with another --out"
            ) from error
