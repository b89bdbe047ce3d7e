"""The law by group and over all cells together: ``law.json``.

A group that cannot be fitted is kept as a refusal with its reason; the others are fitted all the same.
"""

from __future__ import annotations

from collections.abc import Callable

from byheart.errors import LawError
from byheart.law.cells import Axis
from byheart.law.config import FitConfig
from byheart.law.document import Document, StoredDocument
from byheart.law.fit import LawFit, fit_law
from byheart.law.observation import Evidence

LAW_FILE = "law.json"
COMBINED = "combined"


class Refusal(Document):
    """A group without a law."""

    group: str
    """Which."""
    reason: str
    """Why, and what would mend it."""


class LawFits(StoredDocument):
    """The laws that a sweep's cells carry."""

    kind = "law"
    schema_version = 1
    mend = "fit the sweep again"

    axis: Axis
    """What r is in all of them."""
    group_by: str
    """The columns whose values make a group."""
    config: FitConfig
    """How they were fitted."""
    fits: tuple[LawFit, ...]
    """By group, in alphabetical order."""
    combined: LawFit | None
    """One law for all cells; that of the group where there is only one, null where it was refused."""
    refusals: tuple[Refusal, ...]
    """Groups that could not be fitted."""

    @property
    def all_fits(self) -> tuple[LawFit, ...]:
        """The groups' and, where that says more, the combined one."""
        if self.combined is None or len(self.fits) + len(self.refusals) == 1:
            return self.fits
        return (*self.fits, self.combined)


def num_fits(evidence: Evidence) -> int:
    """How many fits `fit_groups` tries: one a group, and one over all where there are several."""
    num_groups = len(evidence.groups)
    return num_groups + (num_groups > 1)


def fit_groups(
    evidence: Evidence,
    group_by: str,
    axis: Axis = "lora_rank",
    config: FitConfig | None = None,
    advance: Callable[[int], None] = lambda _: None,
) -> LawFits:
    """Fits the law to each group of cells, and to all together.

    Args:
        evidence: the cells, as `byheart.law.observation.from_rows` gives them.
        group_by: what they were grouped by, to be kept.
        axis: what r is.
        config: how; None: the defaults.
        advance: told of bootstrap resamples, ``config.num_resamples`` for each of `num_fits`.

    Raises:
        LawError: nothing could be fitted; with the reason for each group.

    Example:
        >>> evidence = from_rows(read_results("sweeps/probe").to_pylist())    # doctest: +SKIP
        >>> print(fit_groups(evidence, "task").combined.law)                  # doctest: +SKIP
    """
    config = config or FitConfig()
    fits: list[LawFit] = []
    refusals: list[Refusal] = []
    for group in evidence.groups:
        fit = _fit(evidence.of(group), group, axis, config, advance)
        if isinstance(fit, LawFit):
            fits.append(fit)
        else:
            refusals.append(fit)
    if len(evidence.groups) > 1:
        combined = _fit(evidence, COMBINED, axis, config, advance)
    else:
        combined = fits[0].model_copy(update={"group": COMBINED}) if fits else None
    if isinstance(combined, Refusal):
        refusals.append(combined)
        combined = None
    if not fits and combined is None:
        raise LawError("\n".join(refusal.reason for refusal in refusals))
    return LawFits(
        axis=axis, group_by=group_by, config=config, fits=tuple(fits), combined=combined, refusals=tuple(refusals)
    )


def _fit(
    evidence: Evidence, group: str, axis: Axis, config: FitConfig, advance: Callable[[int], None]
) -> LawFit | Refusal:
    """A law or the reason why there is none; ``advance`` is told of all resamples either way."""
    num_left = config.num_resamples

    def counted(count: int) -> None:
        nonlocal num_left
        num_left -= count
        advance(count)

    try:
        return fit_law(evidence, group, axis, config, counted)
    except LawError as error:
        return Refusal(group=group, reason=str(error))
    finally:
        if num_left:
            advance(num_left)
