"""Findings → the records that figures are drawn of: which cells, which length, which panel."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from byheart.certification.dynamics import Dynamics, RecordDynamics
from byheart.paper.findings import Finding, Findings
from byheart.paper.law_tables import GroupFit
from byheart.paper.published import ALL_FORMS, Form
from byheart.report.law_figures import GridValue, drop_over_grid, heat_map, predicted_against_measured
from byheart.report.paper_figures import (
    Answer,
    DrawnCourse,
    Landscape,
    convergence,
    landscapes,
    probability_grid,
    token_dynamics,
)
from byheart.sweep.course import Course
from byheart.sweep.texts import Texts

if TYPE_CHECKING:
    from byheart.report.paper_figures import Figure

MOST_PANELS = 7
"""Ranks, or lengths, of a probability grid; of more, some are taken, evenly from the first to the last."""
_NUM_GRIDS = 4


def law_figures(fits: Sequence[GroupFit]) -> dict[str, Figure]:
    """Figure 2: a, the law over rank and length; b, predicted against measured; c, loss and accuracy as heat maps."""
    figures: dict[str, Figure] = {}
    fitted = [each for each in fits if each.fit is not None]
    for each in fitted:
        if each.fit is not None and each.published is not None:
            figures[f"figure2a-{each.file_name}"] = drop_over_grid(each.fit, each.saturated)
    if fitted:
        figures["figure2b"] = predicted_against_measured([each.fit for each in fitted if each.fit is not None])
    for each in fits:
        if each.published is not None:
            of_ratio = _most_random(each.cells)
            losses = [_at(cell, cell.measured.nll_after_nats) for cell in of_ratio]
            shares = [_at(cell, cell.measured.token_accuracy) for cell in of_ratio]
            figures[f"figure2c-{each.file_name}-final-loss"] = heat_map(losses, "final loss")
            figures[f"figure2c-{each.file_name}-token-accuracy"] = heat_map(shares, "token accuracy")
    return figures


def dynamics_figure(findings: Findings) -> Figure | None:
    """Figure 3, of all long texts that were learnt; its first panel of the middle length of the most random ones."""
    cells = _long_texts(findings)
    if not cells:
        return None
    found = [(cell, each) for cell in cells for each in findings.dynamics(cell)]
    shown = [(cell, each) for cell, each in found if cell.method == "sft"] or found
    most_random, placement = max(cell.texts for cell, _ in shown), shown[0][0].placement
    shown = [(cell, each) for cell, each in shown if (cell.texts, cell.placement) == (most_random, placement)]
    lengths = sorted({cell.size for cell, _ in shown})
    middle = lengths[len(lengths) // 2]
    records = [each for _, each in found]
    places = [at / len(each.p) for each in records if (at := each.first_failure_position) is not None]
    answers = _answers((cell, each) for cell, each in shown if cell.size == middle)
    every = Dynamics(tuple(records))
    return token_dynamics(answers, every.pairs, every.bound.spearman_rho, places)


def landscape_figures(findings: Findings) -> dict[str, Figure]:
    """Figures 4–6, a method each: token accuracy on long texts, exact match on PhoneBook at equal budget."""
    figures: dict[str, Figure] = {}
    for number, form in enumerate(ALL_FORMS, 4):
        panels: list[Landscape] = []
        long = [cell for cell in findings.done("long-context") if cell.form == form]
        for texts in sorted({cell.texts for cell in long}):
            values = [_at(cell, cell.measured.token_accuracy) for cell in long if cell.texts == texts]
            panels.append(Landscape(texts.name, "token accuracy", values))
        book = [cell for cell in findings.done("phonebook-equal") if cell.form == form]
        if book:
            values = [_at(cell, cell.measured.exact_match) for cell in book]
            panels.append(Landscape("PhoneBook, equal budget", "exact match", values))
        if panels:
            figures[f"figure{number}"] = landscapes(panels, form)
    return figures


def convergence_figures(findings: Findings) -> dict[str, Figure]:
    """Figures 7–9, a method each: how loss and stubborn tokens fall, on the same axes; of several sizes the largest."""
    cells = findings.done("convergence")
    if not cells:
        return {}
    largest = max(cell.size for cell in cells)
    cells = _first_seed([cell for cell in cells if cell.size == largest])
    courses: dict[Form, list[DrawnCourse]] = {form: [] for form in ALL_FORMS}
    for cell in _by_rank(cells):
        courses[cell.form].append(_drawn(cell, findings.course(cell)))
    every = [course for each in courses.values() for course in each]
    num_epochs = max(len(course.nll_nats) for course in every)
    top_nats = max(max(course.nll_nats) for course in every)
    task = {"phonebook": "PhoneBook"}.get(cells[0].task, cells[0].task)
    what = f"{task}, {cells[0].measured.num_answer_tokens:,} answer tokens"
    return {
        f"figure{number}": convergence(courses[form], f"{form}, {what}", num_epochs, top_nats)
        for number, form in enumerate(ALL_FORMS, 7)
        if courses[form]
    }


def grid_figures(findings: Findings) -> dict[str, Figure]:
    """Figures 10–13, four grids of long texts: plain fine-tuning at the most random ratios, by the law's cells where
    those have the ratio; where ratios are fewer, the forms of MemFT.
    """
    plain = [cell for cell in findings.done("law") if cell.task == "long-context" and cell.method == "sft"]
    of_law = {cell.texts for cell in plain}
    others = [cell for cell in findings.done("long-context") if cell.form != "SFT" or cell.texts not in of_law]
    grids: dict[tuple[Form, Texts], list[Finding]] = {}
    for cell in [*plain, *others]:
        grids.setdefault((cell.form, cell.texts), []).append(cell)

    def place(form: Form) -> int:
        return ALL_FORMS.index(form)

    random_first = sorted(grids, key=lambda key: key[1], reverse=True)
    chosen = sorted(random_first, key=lambda key: place(key[0]))[:_NUM_GRIDS]
    figures: dict[str, Figure] = {}
    for number, key in enumerate(sorted(chosen, key=lambda key: (place(key[0]), key[1])), 10):
        cells = _spread(_first_seed(grids[key]), lambda cell: cell.lora_rank)
        cells = _spread(cells, lambda cell: cell.size)
        answers = _answers((cell, each) for cell in cells for each in findings.dynamics(cell))
        figures[f"figure{number}"] = probability_grid(answers, f"Long texts, {key[1].name}, {key[0]}")
    return figures


def _long_texts(findings: Findings) -> list[Finding]:
    """Every cell that learnt a long text, under whatever method, once."""
    cells = [*findings.done("law"), *findings.done("long-context")]
    return list({cell.name: cell for cell in cells if cell.task == "long-context"}.values())


def _most_random(cells: Sequence[Finding]) -> list[Finding]:
    most = max(cell.texts for cell in cells)
    return [cell for cell in cells if cell.texts == most]


def _first_seed(cells: Sequence[Finding]) -> list[Finding]:
    first = min((cell.seed for cell in cells), default=0)
    return [cell for cell in cells if cell.seed == first]


def _by_rank(cells: Iterable[Finding]) -> list[Finding]:
    return sorted(cells, key=lambda cell: cell.lora_rank)


def _spread(cells: Sequence[Finding], key: Callable[[Finding], int]) -> list[Finding]:
    """The cells at so many values of a key as a figure has room for."""
    values = sorted({key(cell) for cell in cells})
    num = min(len(values), MOST_PANELS)
    chosen = {values[round(step * (len(values) - 1) / max(num - 1, 1))] for step in range(num)}
    return [cell for cell in cells if key(cell) in chosen]


def _answers(found: Iterable[tuple[Finding, RecordDynamics]]) -> list[Answer]:
    """One for each length and rank, by rank; of several seeds the first."""
    answers: dict[tuple[int, int], Answer] = {}
    for cell, each in found:
        key = (cell.size, cell.lora_rank)
        answers.setdefault(key, Answer(cell.lora_rank, cell.size, each.p, each.first_failure_position))
    return sorted(answers.values(), key=lambda answer: answer.lora_rank)


def _drawn(cell: Finding, course: Course) -> DrawnCourse:
    return DrawnCourse(
        lora_rank=cell.lora_rank,
        nll_nats=course.nll_nats,
        stubborn_share=[number / cell.measured.num_answer_tokens for number in course.num_stubborn_tokens],
    )


def _at(cell: Finding, value: float) -> GridValue:
    return GridValue(cell.lora_rank, cell.size, value)
