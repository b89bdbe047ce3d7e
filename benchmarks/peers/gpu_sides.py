"""The rows of `gpu.py`: who runs with which settings, and what a pass of each takes.

All have rank 64. byheart stands five times: adapted where the authors are, there in batches that give a card more to do
at once, at its default placement, and where the authors are over the whole vocabulary, without and with the loss fused,
so that each one's worth is seen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from peers import authors_loop
from peers.arithmetic import Counts, authors_pass, byheart_pass
from peers.shapes import DEPTH, Shape

LORA_RANK = 64
AUTHORS_BATCH = 16
"""As published for 32,000 answer tokens."""
LARGE_BATCH = 100
FUSED = "byheart-fused"
"""The row that needs liger-kernel."""


@dataclass(frozen=True)
class Side:
    """One row of the table.

    Attributes:
        label: what the table calls it.
        peer: who runs it, of `peers.SIDES`.
        settings: the peer's.
        modules: what byheart adapts; None: the authors' bypass.
    """

    label: str
    peer: str
    settings: dict[str, Any]
    modules: str | None = None


def sides(shape: Shape, max_epochs: int, batch_size: int | None) -> dict[str, Side]:
    """All rows by name.

    Args:
        shape: of the model.
        max_epochs: byheart's budget; what the authors' rate falls over stays theirs.
        batch_size: byheart's; None: its own default.
    """
    learn: dict[str, Any] = {"epochs": max_epochs, "plateau_epochs": max_epochs}
    learn |= {} if batch_size is None else {"batch_size": batch_size}

    def ours(label: str, layers: str, modules: str, **more: Any) -> Side:
        placement = {"layers": layers, "modules": modules, "lora_rank": LORA_RANK}
        config = {"placement": placement, "learn": {**learn, **more}}
        return Side(f"byheart, {label}", "byheart", {"config": config}, modules)

    one = str(shape.layer)
    theirs = {**authors_loop.SETTINGS, "lora_rank": LORA_RANK, "batch_size": AUTHORS_BATCH, "depth": DEPTH}
    return {
        "byheart": ours(f"layer {one}, mlp", one, "mlp"),
        "byheart-batch": ours(f"layer {one}, mlp, batches of {LARGE_BATCH}", one, "mlp", batch_size=LARGE_BATCH),
        "byheart-top": ours("top:3, all-linear", "top:3", "all-linear"),
        "byheart-whole": ours(f"layer {one}, mlp, shortlist off", one, "mlp", shortlist=False, fused_loss=False),
        FUSED: ours(f"layer {one}, mlp, shortlist off, fused loss", one, "mlp", shortlist=False),
        "authors": Side(f"{authors_loop.LABEL}, layer {one}, bypass", "authors", theirs),
    }


def flops_a_pass(side: Side, shape: Shape, run: dict[str, Any]) -> float:
    """Arithmetic of visits of every record once, computed from shapes and from what the run's steps were made of."""
    engine, num_records = run["engine"], run["job"]["num_records"]
    batch_size = engine["batch_size"] if side.modules else side.settings["batch_size"]
    counts = Counts(
        num_tokens=run["num_tokens"],
        num_answer_tokens=run["num_answer_tokens"],
        num_records=num_records,
        num_shared=engine.get("num_shared", 0),
        num_steps=math.ceil(num_records / batch_size),
    )
    if side.modules is None:
        return authors_pass(shape, counts)
    return byheart_pass(
        shape,
        counts,
        cut=engine["cut"] or 0,
        modules=side.modules,
        num_words=engine["num_words"],
        skips_unread=engine["skips_unread"],
    )
