"""The paper's figures of token dynamics, accuracy and convergence. Each function takes plain records, gives a figure;
`byheart.report.figures.save` writes it. Those of the law are in `byheart.report.law_figures`.

Stubborn tokens (p ≤ 0.5) have one look everywhere: a vermilion cross; i*, where the free run first leaves the answer,
one too: a black upright line. Both are told apart in grey by their shape.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from byheart.certification.certificate import CERTIFIED_PROBABILITY
from byheart.report.figures import FAINT, HAIR, INK, SERIES, blank, colour_bar, house_style, shade
from byheart.report.law_figures import LENGTH_LABEL, SIZE_LABELS, GridValue

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

VISITED_LABEL = "loss of visited tokens (nats)"
SHARE_LABEL = "tokens last seen at p ≤ 0.5 (share)"
_STUBBORN: dict[str, Any] = {"linestyle": "", "marker": "x", "color": SERIES[1], "markeredgewidth": 0.8}
_SURE: dict[str, Any] = {"linestyle": "", "marker": ".", "color": SERIES[0]}
_BINS = 20


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer under one adapter.

    Attributes:
        lora_rank: of the adapter.
        num_answer_tokens: ℓ.
        probabilities: of each answer token, in order.
        first_failure: i*; None where the free run gives the answer back.
    """

    lora_rank: int
    num_answer_tokens: int
    probabilities: Sequence[float]
    first_failure: int | None


@dataclass(frozen=True, slots=True)
class Landscape:
    """One quantity over rank and length.

    Attributes:
        title: what stands above it.
        label: the quantity; a share from 0 to 1.
        values: at least one.
    """

    title: str
    label: str
    values: Sequence[GridValue]


@dataclass(frozen=True, slots=True)
class DrawnCourse:
    """One run, epoch by epoch.

    Attributes:
        lora_rank: of the adapter.
        nll_nats: mean loss of the visited answer tokens.
        stubborn_share: of all answer tokens, those last seen at or below one half; a record that the curriculum has not
            shown yet has none.
    """

    lora_rank: int
    nll_nats: Sequence[float]
    stubborn_share: Sequence[float]


@house_style()
def token_dynamics(
    answers: Sequence[Answer], pairs: Sequence[tuple[int, int]], rho: float | None, places: Sequence[float]
) -> Figure:
    """Figure 3: probabilities by position and rank; earliest stubborn position against i*; where free runs fail.

    Args:
        answers: of one length, by rank.
        pairs: (earliest stubborn position, i*) of each record that has both.
        rho: Spearman's of the pairs; None where it is not defined.
        places: i* of each failed record, as a share of its answer's length.
    """
    figure, panels = blank(10.2, 3.1, 3)
    _by_position(figure, panels[0], answers)
    _bound(panels[1], pairs, rho)
    panels[2].hist(places, bins=_BINS, range=(0, 1), color=SERIES[0], edgecolor="white", linewidth=0.5)
    panels[2].set(xlabel="first failure i*, share of the answer", ylabel="records", xlim=(0, 1))
    panels[2].set_title(f"(c) where {len(places):,} free runs fail", loc="left")
    return figure


@house_style()
def landscapes(panels: Sequence[Landscape], title: str) -> Figure:
    """Figures 4–6: shares over rank and length, one panel each, all on one scale; dark is what is not known.

    Args:
        panels: at least one.
        title: the method.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    widths = [0.9 + 0.46 * len({value.num_answer_tokens for value in panel.values}) for panel in panels]
    height = 1.7 + 0.34 * max(len({value.size for value in panel.values}) for panel in panels)
    figure, axes = blank(max(sum(widths) + 1.2, 4.0), height, len(panels))
    for each, panel in zip(axes, panels, strict=True):
        _landscape(each, panel)
    labels = " / ".join(dict.fromkeys(panel.label for panel in panels))
    colour_bar(figure, ScalarMappable(Normalize(0, 1), "cividis"), axes, labels)
    figure.suptitle(title, fontsize=10)
    return figure


@house_style()
def convergence(courses: Sequence[DrawnCourse], title: str, num_epochs: int, top_nats: float) -> Figure:
    """Figures 7–9: loss and share of stubborn tokens over epochs, a line a rank.

    Args:
        courses: by rank.
        title: the method.
        num_epochs: where the axes end, so that methods can be laid side by side.
        top_nats: the largest loss of any of them.
    """
    figure, [losses, shares] = blank(7.6, 3.1, 2)
    for index, course in enumerate(courses):
        colour = shade(index, len(courses))
        epochs = np.arange(1, len(course.nll_nats) + 1)
        for axes, values in ((losses, course.nll_nats), (shares, course.stubborn_share)):
            axes.plot(epochs, values, color=colour, label=f"{course.lora_rank:,}")
            axes.plot(epochs[-1], values[-1], marker="o", markersize=3, color=colour)
    losses.axhline(np.log(2), color=FAINT, linewidth=0.9, linestyle=(0, (4, 3)))
    _note(losses, "ln 2", (1, np.log(2)), (2, 2))
    losses.set(xlabel="epoch", ylabel=VISITED_LABEL, xlim=(0, 1.06 * num_epochs))
    losses.set_ylim(0, 1.03 * top_nats)
    shares.set(xlabel="epoch", ylabel=SHARE_LABEL, xlim=(0, 1.06 * num_epochs))
    shares.set_ylim(-0.02, 1.02)
    handles = shares.get_legend_handles_labels()
    figure.legend(*handles, loc="outside right upper", title="rank", title_fontsize=8)
    figure.suptitle(title, fontsize=10)
    return figure


@house_style()
def probability_grid(answers: Sequence[Answer], title: str) -> Figure:
    """Figures 10–13: p of each answer token over position, a row a length and a column a rank.

    Args:
        answers: at most one for each length and rank.
        title: which texts.
    """
    at: Mapping[tuple[int, int], Answer] = {(each.num_answer_tokens, each.lora_rank): each for each in answers}
    lengths, ranks = sorted({length for length, _ in at}), sorted({rank for _, rank in at})
    from matplotlib.figure import Figure

    figure = Figure(
        figsize=(1.1 + 1.55 * len(ranks), 0.9 + 1.05 * len(lengths)), layout="constrained", facecolor="white"
    )
    grid = figure.subplots(len(lengths), len(ranks), squeeze=False, sharex="row", sharey=True)
    for (row, column), axes in np.ndenumerate(grid):
        length, rank = lengths[row], ranks[column]
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=7, length=2)
        axes.set(xlim=(-0.02 * length, 1.02 * length), ylim=(-0.04, 1.04), yticks=(0, 0.5, 1))
        if (length, rank) in at:
            _probabilities(axes, at[length, rank])
        else:
            axes.text(0.5, 0.5, "not run", transform=axes.transAxes, ha="center", va="center", color=FAINT, size=7)
        if row == 0:
            axes.set_title(f"rank {rank:,}", fontsize=8)
        if column == 0:
            axes.set_ylabel(f"ℓ = {length:,}", fontsize=8)
    figure.supxlabel("position of the answer token", fontsize=9)
    figure.supylabel("p of the token", fontsize=9)
    figure.suptitle(f"{title}; crosses: p ≤ 0.5, upright line: first failure i*", fontsize=9)
    return figure


def _note(axes: Axes, text: str, at: tuple[float, float], offset_points: tuple[float, float]) -> None:
    axes.annotate(text, at, xytext=offset_points, textcoords="offset points", fontsize=7, annotation_clip=False)


def _probabilities(axes: Axes, answer: Answer) -> None:
    p_T = np.asarray(answer.probabilities)
    position_T, is_stubborn_T = np.arange(len(p_T)), p_T <= CERTIFIED_PROBABILITY
    size = float(np.clip(260 / len(p_T), 0.6, 3.0))
    axes.axhline(CERTIFIED_PROBABILITY, color=HAIR, linewidth=0.8, zorder=1)
    axes.plot(position_T[~is_stubborn_T], p_T[~is_stubborn_T], markersize=size, zorder=2, **_SURE)
    axes.plot(position_T[is_stubborn_T], p_T[is_stubborn_T], markersize=size + 0.6, zorder=3, **_STUBBORN)
    if answer.first_failure is not None:
        axes.axvline(answer.first_failure, color=INK, linewidth=0.9, zorder=4)


def _by_position(figure: Figure, axes: Axes, answers: Sequence[Answer]) -> None:
    longest = max(len(each.probabilities) for each in answers)
    p_RT = np.full((len(answers), longest), np.nan)
    for row, each in enumerate(answers):
        p_RT[row, : len(each.probabilities)] = each.probabilities
        if each.first_failure is not None:
            axes.plot([each.first_failure] * 2, [row - 0.5, row + 0.5], color=SERIES[1], linewidth=1.8)
    image = axes.imshow(p_RT, cmap="cividis", vmin=0, vmax=1, origin="lower", aspect="auto", interpolation="nearest")
    axes.set_yticks(range(len(answers)), [f"{each.lora_rank:,}" for each in answers])
    axes.set(xlabel="position of the answer token", ylabel=SIZE_LABELS["lora_rank"])
    axes.set_title(f"(a) p by position and rank, ℓ = {answers[0].num_answer_tokens:,}; bar: i*", loc="left")
    colour_bar(figure, image, axes, "p")


def _bound(axes: Axes, pairs: Sequence[tuple[int, int]], rho: float | None) -> None:
    earliest, failures = [x for x, _ in pairs], [y for _, y in pairs]
    top = max([*earliest, *failures, 1])
    axes.plot((0, top), (0, top), color=FAINT, linewidth=0.9, zorder=1)
    axes.plot(
        earliest, failures, linestyle="", marker="o", markersize=4, color=SERIES[0], alpha=0.55, markeredgewidth=0
    )
    axes.set_xscale("symlog", linthresh=1)
    axes.set_yscale("symlog", linthresh=1)
    ticks = [tick for tick in (0, 1, 10, 100, 1000, 10000) if tick <= top]
    for set_ticks in (axes.set_xticks, axes.set_yticks):
        set_ticks(ticks, [f"{tick:,}" for tick in ticks])
        set_ticks([], minor=True)
    axes.set(xlabel="earliest stubborn position", ylabel="first failure i*")
    told = "not defined" if rho is None else f"{rho:.3f}"
    axes.set_title(f"(b) {len(pairs):,} failures, Spearman ρ {told}", loc="left")


def _landscape(axes: Axes, panel: Landscape) -> None:
    gathered: dict[tuple[int, int], list[float]] = {}
    for each in panel.values:
        gathered.setdefault((each.size, each.num_answer_tokens), []).append(each.value)
    sizes, lengths = sorted({size for size, _ in gathered}), sorted({length for _, length in gathered})
    grid = np.full((len(sizes), len(lengths)), np.nan)
    for (size, length), repeats in gathered.items():
        grid[sizes.index(size), lengths.index(length)] = np.mean(repeats)
    axes.imshow(grid, cmap="cividis", vmin=0, vmax=1, origin="lower", aspect="auto")
    for (row, column), value in np.ndenumerate(grid):
        if np.isfinite(value):
            ink = "white" if value < 0.5 else "black"
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=7, color=ink)
    axes.set_xticks(range(len(lengths)), [f"{length:,}" for length in lengths])
    axes.set_yticks(range(len(sizes)), [f"{size:,}" for size in sizes])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set(xlabel=LENGTH_LABEL, ylabel=SIZE_LABELS["lora_rank"])
    axes.set_title(f"{panel.title}\n{panel.label}", fontsize=8, loc="left")
