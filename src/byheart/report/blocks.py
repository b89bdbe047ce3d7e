"""What a page can show: plain frozen records, put together by whoever has something to tell.

A page is a list of sections, a section a list of blocks. Each block is drawn by the code of its kind in ``page/``; what
it holds travels as JSON, so that its fields are those that this code reads. Nothing here knows bundles or sweeps.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, TypeAlias

from byheart.errors import SettingsError, unknown

Value: TypeAlias = str | float | bool | None
"""What a table's cell or a fact holds; numbers are written out by the page."""
Point: TypeAlias = tuple[float, float] | tuple[float, float, str]
"""Where a mark lies, and what to say of it beyond that, one line each."""
Scale = Literal["linear", "log", "log1p"]

_IMAGES = {".svg": "image/svg+xml", ".png": "image/png"}


@dataclass(frozen=True, slots=True)
class Prose:
    """A paragraph."""

    kind: ClassVar[str] = "prose"
    text: str


@dataclass(frozen=True, slots=True)
class Facts:
    """Labels and values, one a line; large, side by side, where they are a headline."""

    kind: ClassVar[str] = "facts"
    rows: Sequence[tuple[str, Value]]
    is_headline: bool = False


@dataclass(frozen=True, slots=True)
class Listing:
    """Text to be copied: a command, or a file."""

    kind: ClassVar[str] = "listing"
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Table:
    """Rows that can be sorted, and searched where they are many.

    Attributes:
        title: its caption.
        columns: their titles.
        rows: one value a column.
        notes: sentences below it.
    """

    kind: ClassVar[str] = "table"
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Value]]
    notes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of a chart.

    Attributes:
        label: with its unit.
        scale: linear, log, or log1p (the logarithm of one more, which shows counts of zero).
        ends: from where to where at the least; None: what is shown.
        ticks: the values to mark; None: round ones.
        is_count: whether it counts, so that only whole numbers are marked.
    """

    label: str
    scale: Scale = "linear"
    ends: tuple[float, float] | None = None
    ticks: Sequence[float] | None = None
    is_count: bool = False


@dataclass(frozen=True, slots=True)
class Series:
    """Marks of one colour and one name.

    Attributes:
        name: for the legend; a series without one is not in it.
        points: in order.
        look: a line, points, points not filled, points that are ringed, or bars.
        colour: index into the page's colours; None: grey.
        shade: place on the page's scale from dark to light, 0 to 1, for series in an order; in place of a colour.
        width: of bars, on the horizontal axis.
        is_named_at_end: whether a line's name stands at its end instead of in the legend.
    """

    name: str
    points: Sequence[Point]
    look: Literal["line", "points", "hollow", "ring", "bars"] = "points"
    colour: int | None = 0
    shade: float | None = None
    width: float = 0
    is_named_at_end: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """A straight line across a chart, with a word beside it."""

    label: str
    x: float | None = None
    y: float | None = None


@dataclass(frozen=True, slots=True)
class Chart:
    """One picture of series over two axes."""

    x: Axis
    y: Axis
    series: Sequence[Series]
    rules: Sequence[Rule] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Charts:
    """One or several charts in one place, to choose from by name."""

    kind: ClassVar[str] = "charts"
    title: str
    views: Mapping[str, Chart]


@dataclass(frozen=True, slots=True)
class HeatMap:
    """Numbers over two axes, each written into its cell.

    Attributes:
        columns: values of the horizontal axis.
        rows: values of the vertical one, from below.
        values: by row, then by column; None where nothing was measured.
        ends: the values that are darkest and lightest, or the other way round where the first is larger.
        bar: marks cells on its lower side, as `bar_label` says; None: no cell.
        bar_label: what the mark means.
    """

    column_label: str
    row_label: str
    columns: Sequence[int]
    rows: Sequence[int]
    values: Sequence[Sequence[float | None]]
    ends: tuple[float, float]
    bar: float | None = None
    bar_label: str = ""


@dataclass(frozen=True, slots=True)
class HeatMaps:
    """One or several heat maps in one place, to choose from by name."""

    kind: ClassVar[str] = "heatmaps"
    title: str
    views: Mapping[str, HeatMap]


@dataclass(frozen=True, slots=True)
class Figure:
    """A picture that was drawn elsewhere.

    Attributes:
        title: its caption.
        source: a ``data:`` address, as `image_source` makes it.
        description: what is to be seen in it, for those who cannot.
    """

    kind: ClassVar[str] = "figure"
    title: str
    source: str
    description: str


@dataclass(frozen=True, slots=True)
class TokenAnswers:
    """Answers token by token; see `byheart.report.answers`, which makes it. Lists by token have one entry a token.

    Attributes:
        strings: every text of a token or rival, once; None where texts are left out.
        records: one mapping a record.
    """

    kind: ClassVar[str] = "answers"
    strings: Sequence[str] | None
    records: Sequence[Mapping[str, object]]


@dataclass(frozen=True, slots=True)
class ProbabilityGrid:
    """p by record and position, drawn from the page's `TokenAnswers`."""

    kind: ClassVar[str] = "grid"
    title: str


Block: TypeAlias = Prose | Facts | Listing | Table | Charts | HeatMaps | Figure | TokenAnswers | ProbabilityGrid


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and what stands below it."""

    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True, slots=True)
class Page:
    """All that a page shows.

    Attributes:
        title: its heading, and the browser's title.
        sentence: what came out, in one.
        is_good: whether that is what was wanted.
        sections: in order.
    """

    title: str
    sentence: str
    is_good: bool
    sections: Sequence[Section]


def image_source(path: Path) -> str:
    """An SVG or PNG file as an address that holds the picture itself.

    Raises:
        SettingsError: another kind of file.
    """
    if path.suffix not in _IMAGES:
        raise SettingsError(unknown("kind of picture", path.suffix, _IMAGES))
    return f"data:{_IMAGES[path.suffix]};base64,{base64.b64encode(path.read_bytes()).decode()}"
