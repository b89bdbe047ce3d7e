"""One call of `byheart.learn`, step after step.

Memory → EncodedMemory → (Base, Placement) → ActivationCache → LearnResult → Certificate → Bundle
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from torch import Tensor

from byheart.certification.certificate import Certificate
from byheart.certification.check import FullPass, full_pass_above
from byheart.certification.check import certify as check
from byheart.config import RunConfig
from byheart.export.bundle import FIRST_RANK_FILE, Bundle, Claim, claim, clear
from byheart.export.manifest import CHECKPOINT_FILE, METRICS_FILE, Manifest, Planned, Summary
from byheart.fingerprint import fingerprint
from byheart.learning.activations import ActivationCache
from byheart.learning.config import ENGINE_VERSION
from byheart.learning.evaluate import RecordLosses, likely_words, record_losses
from byheart.learning.events import EpochEvent, Listener, MetricsFile
from byheart.learning.footprint import Footprint, Needed, give_back, measured
from byheart.learning.growth import largest_rank
from byheart.learning.hooks import Hooks
from byheart.learning.initial import point_at
from byheart.learning.loop import LearnResult
from byheart.learning.loop import learn as run
from byheart.learning.shortlist import Shortlist, Vocabulary
from byheart.learning.state import read_header
from byheart.learning.step import Stepper
from byheart.learning.trackers import refuse_missing, tracking
from byheart.memory.encode import encode
from byheart.memory.information import compressed_bits
from byheart.memory.records import Memory
from byheart.method.registry import build
from byheart.model.adapter import Adapter, attached
from byheart.model.base import Base, load
from byheart.model.placement import Placement, resolve
from byheart.model.split import SAVINGS, SplitModel, split
from byheart.planning.choice import first_rank
from byheart.planning.need import need_of, reading
from byheart.progress import Reporter


@dataclass(frozen=True, slots=True)
class _Sized:
    """A placement with the rank to begin with, and what was found on the way to it."""

    placement: Placement
    rank_reason: str
    nll_before_N: Tensor
    plan: Planned | None = None


class Job:
    """What each step needs from those before it.

    Args:
        memory: what is to be learnt.
        model: as `byheart.learn` takes it.
        config: the settings.
        out: the bundle's directory, locked; None: nothing is written.
        reporter: told what happens.
        interrupted: asked after every step; True stops the run at a checkpoint.
        started: when the call began, by ``time.monotonic``.
    """

    def __init__(
        self,
        memory: Memory,
        model: str | Base | None,
        config: RunConfig,
        out: Path | None,
        reporter: Reporter,
        interrupted: Callable[[], bool],
        started: float,
    ) -> None:
        self.memory, self.config, self.out, self.started = memory, config, out, started
        self.reporter, self.interrupted = reporter, interrupted
        self.full_pass: FullPass | None = None
        refuse_missing(config.learn.report_to, out)
        if isinstance(model, Base):
            model.refuse_other_numerics(config.model)
        self.base = model if isinstance(model, Base) else load(config.model, reporter.say)
        self.encoded = encode(memory, self.base.tokenizer, config.encode, self.base.max_tokens)
        self.method = build(config.method, config.learn.budget_epochs(len(self.encoded)), config.learn.batch_size)
        self.run_fingerprint = fingerprint(
            {
                "byheart": version("byheart"),
                "engine": ENGINE_VERSION,  # another one takes other steps
                "settings": config.identity(),
                "memory": self.encoded.fingerprint,
                "base": self.base.identity.to_dict(),
            }
        )

    @property
    def checkpoint(self) -> Path | None:
        """Where the run's checkpoint is kept; None: nowhere."""
        return None if self.out is None else self.out / CHECKPOINT_FILE

    @property
    def is_resumed(self) -> bool:
        """Whether a checkpoint is there to go on from."""
        return self.checkpoint is not None and self.checkpoint.exists()

    def done(self) -> Bundle:
        """The bundle: all steps taken, or found to have been taken before."""
        if self.out is not None and claim(self.out, self.run_fingerprint) is Claim.COMPLETE:
            self.reporter.say(f"{self.out} already holds the result of this very run")
            clear(self.out)
            return Bundle.read(self.out, self.base)
        asked = self.config.placement.lora_rank
        outline = resolve(self.config.placement, self.base.model, asked if isinstance(asked, int) else 1)
        split_model = split(self.base.model, outline.layers[0])
        if missed := [words for name, words in SAVINGS.items() if not getattr(split_model, name)]:
            self.reporter.say(f"steps take longer: this model's own logits do not come out with {' and '.join(missed)}")
        with reading(self.encoded, split_model, self.base, self.config, self.reporter, self.out) as activations:
            sized = self.sized(split_model, activations, outline)
            give_back()
            adapter = Adapter.initialised(sized.placement, self.base.device, self.config.seed)
            if self.config.learn.initial == "principal" and not self.is_resumed:
                point_at(adapter, split_model, activations, self.config.seed)
            result = self.train(split_model, activations, adapter)
        with self.reporter.phase("certifying", 2 * len(self.encoded)) as advance:
            certificate = check(self.base, result.adapter, self.encoded, self.config.certify, advance, self.full_pass)
        bundle = Bundle(
            memory=self.memory,
            base=self.base,
            adapter=result.adapter.rounded(self.base.dtype),
            certificate=certificate,
            manifest=self.manifest(sized, result, certificate),
        )
        if self.out is not None:
            bundle.save(self.out)
        return bundle

    def sized(self, split_model: SplitModel, activations: ActivationCache, outline: Placement) -> _Sized:
        """The rank that was asked for, the one that is planned, or by the rule by bits the one the memory needs."""
        nll_before_N = record_losses(split_model, activations).sum_N
        if self.config.placement.lora_rank != "auto":
            return _Sized(outline, "as asked", nll_before_N)
        need, bits = need_of(self.encoded, nll_before_N), self.bits(nll_before_N, range(len(self.memory)))
        kept = None if self.out is None else self.out / FIRST_RANK_FILE
        choice = first_rank(need, bits, self.base.identity, outline, self.config, kept, self.run_fingerprint)
        self.reporter.say(choice.reason)
        placement = resolve(self.config.placement, self.base.model, choice.lora_rank)
        if (plan := choice.plan) is None:
            return _Sized(placement, choice.reason, nll_before_N)
        planned = Planned.of(plan.at(choice.lora_rank).model_dump(), plan.lora_rank)
        return _Sized(placement, choice.reason, nll_before_N, planned)

    def train(self, split_model: SplitModel, activations: ActivationCache, adapter: Adapter) -> LearnResult:
        config = self.config
        listeners: list[Listener] = [self.reporter.epoch]
        num_epochs, lora_rank = 0, adapter.placement.lora_rank
        if self.out is not None and self.checkpoint is not None:
            if self.is_resumed:
                progress = read_header(self.checkpoint)["progress"]
                num_epochs = progress["epoch"]
                lora_rank = max([lora_rank, *(growth["to_rank"] for growth in progress["growths"])])
            if num_epochs:
                self.reporter.say(f"going on after epoch {num_epochs}")
            listeners.append(MetricsFile(self.out / METRICS_FILE, num_epochs))

        def on_epoch(event: EpochEvent) -> None:
            for listener in listeners:
                listener(event)

        is_estimating = config.learn.shortlist and not config.method.needs_argmax
        vocabulary = likely_words(split_model, activations) if is_estimating else None

        def look(candidate: Adapter, shortlist: Shortlist | None = None) -> RecordLosses:
            # Of a rounded copy, as saved: the adapter itself drops out while it learns.
            with attached(self.base.model, candidate.rounded(self.base.dtype)):
                losses = record_losses(
                    split_model,
                    activations,
                    shortlist=shortlist,
                    find_rivals=vocabulary is not None and shortlist is None,
                )
            give_back()
            return losses

        def verify(candidate: Adapter) -> bool:
            wanted = config.method.proved_probability
            self.full_pass = full_pass_above(self.base, candidate, self.encoded, config.certify, wanted)
            give_back()
            return self.full_pass is not None

        hooks = Hooks(
            look=look,
            glance=None if vocabulary is None else lambda candidate, seed: look(candidate, vocabulary.draw(seed)),
            verify=verify,
            on_epoch=on_epoch,
            say=self.reporter.say,
            interrupted=self.interrupted,
            checkpoint=self.checkpoint,
            run_fingerprint=self.run_fingerprint,
            started=self.started,
        )
        footprint = self.footprint(split_model, activations, adapter, vocabulary, lora_rank)
        stepper = Stepper(split_model, adapter, activations, self.method.weighting, config.learn, vocabulary, footprint)
        told = config.model_dump(mode="json")
        with tracking(config.learn.report_to, told, self.out, num_epochs, self.reporter.say) as trackers:
            listeners += trackers
            return run(
                stepper,
                self.method.schedule,
                config.learn,
                wanted_probability=config.method.wanted_probability,
                seed=config.seed,
                hooks=hooks,
                max_growths=self.max_growths,
            )

    @property
    def max_growths(self) -> int:
        """How often the adapter may grow: where its rank is a number, never."""
        return self.config.learn.max_growths if self.config.placement.lora_rank == "auto" else 0

    def footprint(
        self,
        split_model: SplitModel,
        activations: ActivationCache,
        adapter: Adapter,
        vocabulary: Vocabulary | None,
        lora_rank: int,
    ) -> Footprint | None:
        """What cuts batches to their budget of memory; None where the method takes them whole. Tells how much memory
        learning will take, with ``lora_rank``, which the adapter may have grown to.
        """
        config = self.config
        all_words = split_model.model.get_output_embeddings().weight.shape[0]
        num_words = all_words if vocabulary is None else vocabulary.num_listed
        footprint = measured(split_model, adapter, activations, num_words)
        budget_bytes = None if config.method.needs_whole_batch else config.learn.step_memory_bytes
        step_bytes = footprint.largest(config.learn.batch_size, budget_bytes)
        largest = largest_rank(adapter.placement.lora_rank, self.max_growths)
        certify_tokens, is_saved = config.certify.max_batch_tokens, self.checkpoint is not None
        needed = Needed(split_model, adapter, activations, step_bytes, certify_tokens, is_saved)
        self.reporter.say(needed.sentence(lora_rank, largest))
        return None if budget_bytes is None else footprint

    def bits(self, nll_before_N: Tensor, indices: Sequence[int]) -> float:
        """Upper bound of the information in some records' answers: what a compressor needs, or what the base model
        lacks.
        """
        if not indices:
            return 0.0
        lacking = float(nll_before_N[list(indices)].sum()) / math.log(2)
        return min(lacking, compressed_bits(self.memory.records[i].answer for i in indices))

    def manifest(self, sized: _Sized, result: LearnResult, certificate: Certificate) -> Manifest:
        placement = result.adapter.placement
        recalled = [i for i, record in enumerate(certificate.records) if record.verdict != "failed"]
        bits = self.bits(sized.nll_before_N, recalled)
        summary = Summary(
            num_records=certificate.num_records,
            num_answer_tokens=certificate.num_answer_tokens,
            exact_match=certificate.exact_match,
            num_certified=certificate.num("certified"),
            num_recited=certificate.num("recited"),
            num_failed=certificate.num("failed"),
            token_accuracy=certificate.token_accuracy,
            nll_nats=certificate.nll_nats,
            min_probability=certificate.min_probability,
            lora_rank=placement.lora_rank,
            num_parameters=placement.num_parameters,
            bits_per_parameter=bits / placement.num_parameters,
            epochs=result.num_epochs,
            train_seconds=round(result.train_seconds, 3),
            total_seconds=round(result.earlier_seconds + time.monotonic() - self.started, 3),
            model=self.base.identity.name,
        )
        return Manifest(
            run_fingerprint=self.run_fingerprint,
            settings=self.config.model_dump(mode="json"),
            placement=placement.to_dict(),
            base=self.base.identity.to_dict(),
            tokenizer_fingerprint=self.encoded.tokenizer_fingerprint,
            template_fingerprint=self.encoded.template_fingerprint,
            prompt_fingerprint=self.encoded.prompt_fingerprint,
            summary=summary,
            stop_reason=result.stop_reason,
            weights_epoch=result.weights_epoch,
            rank_reason=sized.rank_reason,
            plan=sized.plan,
            growths=result.growths,
            nll_before_nats=float(sized.nll_before_N.sum()) / certificate.num_answer_tokens,
            bits=bits,
            files={},
        )
