"""What a pass over all records takes, in floating-point operations, computed from shapes.

Products with the model's own weights are counted, two operations a weight and position; a backward pass through frozen
weights is as much again, since only the gradient of what goes in is wanted. Left out are the adapter's products and
attention's scores, each one or two per cent here, norms, rotary embeddings, padding, and what is computed twice to save
memory. So a utilisation from these figures is a little below the device's own.

    byheart   layers from the cut on; what all prompts begin with once a step; the last layer's MLP and the head where
              an answer token is predicted
    authors   all layers and the whole head at every position, twice; backward above the adapted layer
"""

from __future__ import annotations

from dataclasses import dataclass

from peers.shapes import Shape

FLOPS_A_WEIGHT = 2
"""A multiplication and an addition, at each position."""


@dataclass(frozen=True)
class Counts:
    """How many positions there are.

    Attributes:
        num_tokens: of all records, prompts and answers.
        num_answer_tokens: of all records.
        num_records: in all.
        num_shared: tokens that all prompts begin with and that run once a step; 0 where they run with each record.
        num_steps: batches a pass.
    """

    num_tokens: int
    num_answer_tokens: int
    num_records: int
    num_shared: int
    num_steps: int

    @property
    def num_run(self) -> int:
        """Positions that a pass runs: each record's own, and the shared ones of every step."""
        return self.num_tokens - self.num_shared * (self.num_records - self.num_steps)


def authors_pass(shape: Shape, counts: Counts) -> float:
    """Of one epoch of the authors' loop."""
    layers_above = shape.num_layers - 1 - shape.layer
    forward = shape.num_layers * shape.layer_weights + shape.head_weights
    backward = layers_above * shape.layer_weights + shape.head_weights
    return float(FLOPS_A_WEIGHT * counts.num_tokens * (2 * forward + backward))


def byheart_pass(shape: Shape, counts: Counts, *, cut: int, modules: str, num_words: int, skips_unread: bool) -> float:
    """Of byheart's steps over all records once.

    Args:
        shape: of the model.
        counts: of the records.
        cut: the lowest adapted layer, where steps begin.
        modules: what is adapted there, ``mlp`` or ``all-linear``: below it nothing needs a gradient.
        num_words: over which a step takes the softmax.
        skips_unread: whether the last layer's MLP works only where an answer token is predicted.
    """
    head = num_words * shape.num_hidden * counts.num_answer_tokens
    return float(FLOPS_A_WEIGHT * (_forward(shape, counts, cut, skips_unread) + head)) + float(
        FLOPS_A_WEIGHT * (_backward(shape, counts, cut, modules, skips_unread) + head)
    )


def reading_pass(shape: Shape, counts: Counts, cut: int) -> float:
    """Of the pass that caches activations below the cut; what is shared runs once a batch there too."""
    return float(FLOPS_A_WEIGHT * counts.num_run * cut * shape.layer_weights)


def look_pass(shape: Shape, counts: Counts, *, cut: int, skips_unread: bool) -> float:
    """Of a look at all records from cached activations, over the whole vocabulary."""
    head = shape.head_weights * counts.num_answer_tokens
    return float(FLOPS_A_WEIGHT * (_forward(shape, counts, cut, skips_unread) + head))


def _forward(shape: Shape, counts: Counts, cut: int, skips_unread: bool) -> int:
    """Weight products from the cut on, the head not counted."""
    mlp_weights = 3 * shape.down_weights
    spared = mlp_weights * (counts.num_run - counts.num_answer_tokens) if skips_unread else 0
    return (shape.num_layers - cut) * shape.layer_weights * counts.num_run - spared


def _backward(shape: Shape, counts: Counts, cut: int, modules: str, skips_unread: bool) -> int:
    """As much as forward, but for what lies below the lowest adapted modules of the cut's layer: the gradient ends
    before ``down_proj``'s two neighbours, or before ``q_proj``, ``k_proj`` and ``v_proj``.
    """
    unneeded = {
        "mlp": shape.attention_weights + 2 * shape.down_weights,
        "all-linear": shape.attention_weights - shape.output_weights,
    }[modules]
    return _forward(shape, counts, cut, skips_unread) - unneeded * counts.num_run
