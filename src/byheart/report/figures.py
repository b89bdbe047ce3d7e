"""How every figure looks: print sizes, readable in grey and by colour-blind people, text as text, the same bytes for
the same figures. Object-oriented matplotlib alone, so that nothing global changes.
"""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from byheart.artifacts import atomic_path
from byheart.errors import SettingsError

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure

INK, FAINT, HAIR = "0.15", "0.55", "0.85"
SERIES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
"""Okabe and Ito's colours, told apart by colour-blind people; markers differ too, for print in grey."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*")
_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "byheart",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.labelsize": 9,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "axes.linewidth": 0.8,
    "lines.linewidth": 1.2,
}
DOTS_PER_INCH = 200


def need_matplotlib() -> None:
    """Makes sure that figures can be drawn.

    Raises:
        SettingsError: matplotlib is not installed.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise SettingsError("figures need matplotlib; pip install 'byheart[report]'")


@contextlib.contextmanager
def house_style() -> Iterator[None]:
    """The look of everything that is drawn within a block, or a function that this decorates.

    Raises:
        SettingsError: matplotlib is not installed.
    """
    need_matplotlib()
    from matplotlib import rc_context

    with rc_context(cast("Any", _STYLE)):
        yield


def blank(width: float, height: float, num_columns: int = 1, *, same_rows: bool = False) -> tuple[Figure, list[Axes]]:
    """An empty figure and its axes, from left to right.

    Args:
        width: inches.
        height: inches.
        num_columns: how many axes.
        same_rows: they share what the vertical axis says.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    axes = list(figure.subplots(1, num_columns, squeeze=False, sharey=same_rows)[0])
    for each in axes:
        each.spines[["top", "right"]].set_visible(False)
    return figure, axes


def series(index: int) -> dict[str, Any]:
    """Colour and marker of the series with this index."""
    return {"color": SERIES[index % len(SERIES)], "marker": MARKERS[index % len(MARKERS)]}


def colour_bar(figure: Figure, mappable: ScalarMappable, axes: Axes | Sequence[Axes], label: str) -> None:
    """What the colours of a picture stand for, beside it and without a frame."""
    outline = figure.colorbar(mappable, ax=axes, label=label).outline
    cast("Artist", outline).set_visible(False)  # matplotlib's own types take it for a spines' container


def shade(index: int, num: int) -> tuple[float, float, float]:
    """The colour of one of ``num`` ordered lines, from dark to light in lightness too, and never too light to see."""
    from matplotlib import colormaps

    red, green, blue, _ = colormaps["viridis"](0.85 * index / max(num - 1, 1))
    return red, green, blue


def save(figure: Figure, path: Path) -> tuple[Path, Path]:
    """Writes a figure as SVG and PNG, without date and version: the same bytes for the same figure.

    Args:
        figure: what to write.
        path: where, without the ending.

    Returns:
        The two files.
    """
    files = path.with_name(f"{path.name}.svg"), path.with_name(f"{path.name}.png")
    without = ({"Date": None, "Creator": None}, {"Software": None})
    with house_style():
        for file, metadata in zip(files, without, strict=True):
            with atomic_path(file) as temporary:
                figure.savefig(temporary, format=file.suffix[1:], dpi=DOTS_PER_INCH, metadata=metadata)
    return files
