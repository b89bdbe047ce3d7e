"""Fitted laws as people read them: constants, how well they hold, and which other forms do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.table import Table
from rich.text import Text

from byheart.cli.screens import Screen
from byheart.cli.visible import visible
from byheart.cli.wording import counted
from byheart.law.fit import Counts, LawFit
from byheart.law.fits import LawFits

_WIDE = 1000
"""Columns where no terminal sets them: as many as the table needs."""
_OUTLIERS_SHOWN = 5
_LETTERS = {"coefficient": "C", "rank_exponent": "α", "length_exponent": "β", "offset_nats": "b"}


def print_laws(screen: Screen, fits: LawFits) -> None:
    """Prints the tables, and a sentence for what they come to."""
    share = f"{100 * fits.config.confidence:g} %"
    _print(screen, ["", *_LETTERS.values()], [_constants(fit) for fit in fits.all_fits])
    screen.paragraph(Text(f"below each constant where {share} of {fits.config.num_resamples} resamples have it", "dim"))
    screen.paragraph()
    head = ["", "cells", "left out", "R²", "MAPE", "RMSE", "leave-out"]
    _print(screen, head, [_agreement(fit) for fit in fits.all_fits])
    screen.paragraph()
    whole = fits.combined or fits.fits[-1]
    for line in _sentences(whole, fits):
        screen.paragraph(line)
    screen.paragraph()
    screen.paragraph(f"other forms on the {counted(whole.counts.used, 'cell')} of {visible(whole.group)}")
    _print(screen, ["", "formula", "R²", "MAPE", "AICc", "leave-out"], [*_forms(whole)])
    for refusal in fits.refusals:
        screen.paragraph()
        screen.paragraph(Text(visible(refusal.reason), "red"))


def percent(share: float | None) -> str:
    """A share in percent, or a dash where there is none.

    >>> percent(0.0712), percent(None)
    ('7.1 %', '–')
    """
    return "–" if share is None else f"{100 * share:.1f} %"


def _print(screen: Screen, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for title in head:
        table.add_column(title, overflow="fold")
    for row in rows:
        table.add_row(*(Text("\n".join(visible(line) for line in value.split("\n"))) for value in row))
    if screen.is_terminal:
        screen.print(table)
        return
    for line in screen.render_lines(table, screen.options.update(width=_WIDE), pad=False):
        screen.paragraph("".join(segment.text for segment in line).rstrip())


def _constants(fit: LawFit) -> list[str]:
    values = [(f"{getattr(fit.law, name):.3g}", str(fit.intervals[name])) for name in _LETTERS]
    return [fit.group, *("\n".join(lines) for lines in values)]


def _agreement(fit: LawFit) -> list[str]:
    agreed = fit.quality
    held = fit.leave_out.mape if fit.leave_out else None
    figures = [f"{agreed.r_squared:.3f}", percent(agreed.mape), f"{agreed.rmse_nats:.3g} nats", percent(held)]
    return [fit.group, f"{fit.counts.used:,}", _left_out(fit.counts), *figures]


def _left_out(counts: Counts) -> str:
    """The reasons for which there are cells.

    >>> _left_out(Counts(used=9, saturated=3, unconverged=0, unlearnt=0, failed=1))
    '3 saturated, 1 failed'
    """
    reasons = {
        "saturated": counts.saturated,
        "not converged": counts.unconverged,
        "not learnt": counts.unlearnt,
        "failed": counts.failed,
    }
    return ", ".join(f"{number:,} {reason}" for reason, number in reasons.items() if number) or "none"


def _sentences(fit: LawFit, fits: LawFits) -> Iterator[str]:
    """What a fit comes to, and what to be wary of in any of them."""
    what = "rank" if fits.axis == "lora_rank" else "number of parameters"
    said = f"{visible(fit.group)}: {fit.law}, within {percent(fit.quality.mape)} of {counted(fit.counts.used, 'cell')}"
    if fit.leave_out:
        yield (
            f"{said}; fitted without the largest {what} and the longest length, it predicts the "
            f"{counted(fit.leave_out.num_predicted, 'cell')} that have them within {percent(fit.leave_out.mape)}"
        )
    else:
        yield f"{said}; no leave-out error: {fit.leave_out_reason}"
    for each in fits.all_fits:
        if each.at_bounds:
            named = ", ".join(_LETTERS[name] for name in each.at_bounds)
            yield f"{visible(each.group)}: {named} at the bound of what is searched; the cells do not determine it"
        for cell in each.outliers[:_OUTLIERS_SHOWN]:
            where = f"cell {cell.name} (rank {cell.lora_rank}, {cell.num_answer_tokens:,} tokens)"
            both = f"predicted {cell.predicted_nats:.3g}, measured {cell.nll_drop_nats:.3g} nats"
            yield f"{visible(each.group)}: {where} is far off: {both}"
        if (num_more := len(each.outliers) - _OUTLIERS_SHOWN) > 0:
            yield f"{visible(each.group)}: and {counted(num_more, 'cell')} more far off"


def _forms(fit: LawFit) -> Iterator[list[str]]:
    for form in fit.forms:
        agreed = form.quality
        figures = ["–", "–"] if agreed is None else [f"{agreed.r_squared:.3f}", percent(agreed.mape)]
        criterion = "–" if form.aicc is None else f"{form.aicc:.1f}"
        yield [form.name, form.formula, *figures, criterion, percent(form.leave_out_mape)]
