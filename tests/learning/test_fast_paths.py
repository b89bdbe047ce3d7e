"""The certificate at the end is the same whether the fast paths are taken or not.

Exact paths (the cache, the shared prompt, the last layer where it is read) change nothing but roundings: the run takes
the same way and its probabilities are the same. Resting records and the shortlist choose another way; what they lead to
is judged by the same certificate over all records and the whole vocabulary.
"""

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from byheart.errors import InterruptedRunError
from byheart.export.bundle import Bundle
from byheart.learning import evaluate
from byheart.learning.shortlist import Shortlist, Vocabulary
from byheart.memory.records import Memory
from byheart.model.base import Base, load
from byheart.model.config import ModelConfig
from byheart.model.split import SplitModel, split
from byheart.pipeline import learn

LEARN = {"epochs": 80, "learning_rate": 0.02, "batch_size": 2, "plateau_epochs": 1000}
ALL_ON = {"shares_prompt": True, "skips_unread": True}


EXACTLY: dict[str, Any] = {"method": {"name": "sft", "rest_epochs": 0}, "learn": {"initial": "random"}}
"""Nothing that jumps: no weight that a token has or has not, no directions that a decomposition may turn around."""


def learnt(memory: Memory, base: Base, out: Path | None = None, interrupted=lambda: False, **settings) -> Bundle:
    config = {**settings, "learn": {**LEARN, **settings.get("learn", {})}}
    return learn(memory, base, out=out, interrupted=interrupted, config=config, layers="top:1", lora_rank=8)


@pytest.fixture
def with_parts(monkeypatch):
    """Runs get a model of these parts; those that the model's check has found are asserted to be all on."""

    def with_parts_(**parts) -> None:
        def changed(model, cut: int) -> SplitModel:
            found = split(model, cut)
            assert (found.cut, found.shares_prompt, found.skips_unread) == (1, True, True)
            return replace(found, **parts)

        monkeypatch.setattr("byheart.job.split", changed)

    return with_parts_


@pytest.fixture(scope="module")
def fast(tiny_base) -> Bundle:
    """With all the exact paths."""
    from conftest import PAIRS

    return learnt(Memory.from_pairs(PAIRS), tiny_base, **EXACTLY)


@pytest.mark.parametrize(
    "off",
    [{"cut": None}, {"shares_prompt": False}, {"skips_unread": False}, {"cut": None, **dict.fromkeys(ALL_ON, False)}],
    ids=["cache", "shared prompt", "last layer where it is read", "all three"],
)
def test_without_an_exact_path_the_certificate_is_the_same(tiny_memory, tiny_base, fast, with_parts, off):
    with_parts(**off)
    slow = learnt(tiny_memory, tiny_base, **EXACTLY)
    assert slow.manifest.stop_reason == fast.manifest.stop_reason == "certified"
    assert slow.manifest.summary.epochs == fast.manifest.summary.epochs
    for mine, theirs in zip(slow.certificate.records, fast.certificate.records, strict=True):
        assert (mine.id, mine.verdict, mine.token_ids) == (theirs.id, theirs.verdict, theirs.token_ids)
        assert mine.p == pytest.approx(theirs.p, abs=1e-3)


@pytest.mark.parametrize("rest_epochs", [0, 3])
def test_with_and_without_rest_every_record_is_certified(tiny_memory, tiny_base, rest_epochs):
    bundle = learnt(tiny_memory, tiny_base, method={"rest_epochs": rest_epochs})
    assert [record.verdict for record in bundle.certificate.records] == ["certified"] * len(tiny_memory)


@pytest.fixture
def drawn(monkeypatch) -> list[int]:
    """The seeds of shortlists as they are drawn; from here on runs have one, small as their vocabulary is."""
    seeds: list[int] = []

    class Small(Vocabulary):
        """Forty words beside the likely ones: the tiny vocabulary is smaller than what a step samples by default."""

        pays = True  # type: ignore[assignment] - a property there; here it is known

        def __init__(self, likely, num_words) -> None:
            super().__init__(likely, num_words, num_sampled=40)

        def draw(self, seed: int) -> Shortlist:
            seeds.append(seed)
            return super().draw(seed)

    monkeypatch.setattr(evaluate, "Vocabulary", Small)
    return seeds


def test_with_a_shortlist_every_record_is_certified_over_the_whole_vocabulary(tiny_memory, tiny_base, drawn):
    with_list = learnt(tiny_memory, tiny_base)
    assert drawn
    drawn.clear()
    without = learnt(tiny_memory, tiny_base, learn={"shortlist": False})
    assert not drawn
    for bundle in (with_list, without):
        assert [record.verdict for record in bundle.certificate.records] == ["certified"] * len(tiny_memory)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("num_steps", [3, 21])
def test_with_a_shortlist_too_a_run_cut_short_ends_with_the_same_bytes(
    tiny_memory, tiny_model_directory, tmp_path, drawn, dtype, num_steps
):
    base = load(ModelConfig(name=str(tiny_model_directory), dtype=dtype, device="cpu"))
    whole = learnt(tiny_memory, base, tmp_path / "whole")
    assert len(drawn) > num_steps
    asked = itertools.count(1)
    with pytest.raises(InterruptedRunError):
        learnt(tiny_memory, base, tmp_path / "cut", interrupted=lambda: next(asked) == num_steps)
    torch.manual_seed(num_steps)
    cut = learnt(tiny_memory, base, tmp_path / "cut")
    assert cut.adapter.sha256(torch.float32) == whole.adapter.sha256(torch.float32)
    assert cut.manifest.stop_reason == whole.manifest.stop_reason == "certified"
