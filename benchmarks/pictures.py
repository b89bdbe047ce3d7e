"""How the benchmarks' pictures look: vector, grey, text as text, the same bytes for the same figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

DARK, LIGHT = "0.25", "0.6"
CHARACTER_INCHES = 0.072  # of a label, at most on average


def panels(width: float, height: float, num_columns: int = 1, *, same_rows: bool = False) -> tuple[Any, list[Any]]:
    """An empty figure and its axes, from left to right.

    Args:
        width: inches.
        height: inches.
        num_columns: how many axes.
        same_rows: they share what the vertical axis says.
    """
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "byheart", "hatch.linewidth": 0.6})
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(
        1, num_columns, figsize=(width, height), layout="constrained", squeeze=False, sharey=same_rows
    )
    for each in axes[0]:
        each.spines[["top", "right"]].set_visible(False)
    return figure, list(axes[0])


def bars(
    axes: Any, names: Sequence[str], lengths: Sequence[float], labels: Sequence[str], full: Sequence[bool]
) -> None:
    """Horizontal bars, the first on top: full where a run reached its aim, hatched where it did not.

    Args:
        axes: to draw on.
        names: of the rows.
        lengths: of the bars.
        labels: at their ends.
        full: whether the aim was reached.
    """
    for at, (length, label, is_full) in enumerate(zip(lengths, labels, full, strict=True)):
        style = {"color": DARK} if is_full else {"facecolor": "1", "edgecolor": "0.45", "hatch": "////"}
        axes.barh(at, length, height=0.6, **style)
        place = {"xytext": (5, 0), "textcoords": "offset points", "va": "center"}
        axes.annotate(label, (length, at), **place).set_in_layout(False)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.spines["left"].set_visible(False)
    axes.tick_params(left=False)
    axes.figure.draw_without_rendering()  # only then is known how wide the axes are, and what part a label takes
    share = CHARACTER_INCHES / (axes.bbox.width / axes.figure.dpi)
    room = [1 - min(share * (len(label) + 1), 0.8) for label in labels]
    axes.set_xlim(0, max(length / left for length, left in zip(lengths, room, strict=True)) or 1)


def save(figure: Any, path: Path) -> None:
    """Writes the figure, without the date."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
