"""``byheart plan``: which rank a file of records needs, before any of it is learnt."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from byheart.cli.counting import counter
from byheart.cli.exits import COMPLETE, SOME_FAILED
from byheart.cli.live import narrating
from byheart.cli.methods import known_method
from byheart.cli.screens import Screen, print_json, screens
from byheart.cli.wording import clock, counted
from byheart.config import RunConfig
from byheart.errors import SettingsError
from byheart.memory.records import Memory

if TYPE_CHECKING:
    from byheart.law.plan import Plan, PlannedRank
    from byheart.planning.calibration import Calibration

_HEAD = ("rank", "probability", "loss after", "parameters", "adapter", "about")
_PICTURES = (".svg", ".png")


def plan(
    records: Path,
    *,
    model: str | None,
    goal: float,
    method: str | None,
    layers: str | None,
    modules: str | None,
    out: Path | None,
    as_json: bool,
) -> int:
    """Plans for a file; settings and records are read before the model is loaded.

    Args:
        records: as `byheart.cli.learn.learn` takes them; so are ``model``, ``method``, ``layers`` and ``modules``.
        model: see there.
        goal: share of the records to be certified.
        method: see there.
        layers: see there.
        modules: see there.
        out: where the plan's curve is drawn, as SVG and PNG, with either ending or none; None: nowhere.
        as_json: whether one JSON object goes to stdout, and all else to stderr.

    Returns:
        The exit code.
    """
    if not 0 < goal <= 1:
        raise SettingsError(f"--goal {goal:g}: give a share of the records, above 0 and up to 1")
    settings = RunConfig.build(None, model=model, method=known_method(method), layers=layers, modules=modules)
    if out is not None:
        if not out.name or out.is_dir() or out.suffix not in ("", *_PICTURES):
            endings = " or ".join(_PICTURES)
            raise SettingsError(f"--out {out}: give a file's name with {endings} or no ending, and no directory's")
        from byheart.report.figures import need_matplotlib

        need_matplotlib()
    with screens(as_json) as (results, progress):
        with narrating(progress) as narrator:
            count_tokens = counter(lambda: settings.model, narrator)
            memory = Memory.from_file(records, count_tokens=count_tokens, **settings.format.model_dump())
            narrator.begin(f"loading {settings.model.name}")
            from byheart.model.base import load
            from byheart.model.placement import resolve
            from byheart.planning.calibration import find
            from byheart.planning.need import measured_need
            from byheart.planning.planner import plan_for

            base = load(settings.model, narrator.say)
            outline = resolve(settings.placement, base.model, 1)
            calibration = find(base.identity, outline, settings)
            need = measured_need(memory, base, settings, outline, narrator)
            made = plan_for(need, calibration, dtype=base.identity.dtype, goal=goal)
        print_plan(results, made, calibration)
        if out is not None:
            results.paragraph()
            results.rows([("curve", ", ".join(str(file) for file in drawn(made, out)))])
    if as_json:
        print_json(summary(made))
    return COMPLETE if made.is_reached else SOME_FAILED


def drawn(made: Plan, out: Path) -> tuple[Path, Path]:
    """Draws the plan's curve; the two files."""
    from byheart.report.figures import save
    from byheart.report.plan_figures import plan_curve

    return save(plan_curve(made), out.with_suffix("") if out.suffix in _PICTURES else out)


def summary(made: Plan) -> dict[str, Any]:
    """What ``--json`` says of a plan."""
    chosen, plain = made.chosen, made.model_dump(mode="json")
    ranks = plain.pop("ranks")
    return {
        **plain,
        "probability": chosen.probability,
        "is_reached": made.is_reached,
        "predicted_nll_nats": chosen.predicted_nll_nats,
        "num_parameters": chosen.num_parameters,
        "adapter_bytes": chosen.adapter_bytes,
        "seconds": chosen.seconds,
        "extrapolates": made.extrapolates,
        "ranks": ranks,
    }


def print_plan(screen: Screen, made: Plan, calibration: Calibration) -> None:
    """Prints the table of ranks, the chosen one in bold, and sentences for what it comes to."""
    screen.paragraph()
    screen.rows(
        [
            (
                "to learn",
                f"{counted(made.num_records, 'record')}, {counted(made.num_answer_tokens, 'answer token')}, "
                f"mean loss {made.nll_before_nats:.2f} nats",
            ),
            ("goal", f"{_goal(made)}, with probability {made.confidence:g}"),
        ]
    )
    screen.paragraph()
    rows = [_HEAD, *(_row(each) for each in made.ranks)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    if screen.is_terminal:
        table = Table(box=None, pad_edge=False, header_style="dim")
        for title in _HEAD:
            table.add_column(title, justify="right")
        for each, cells in zip(made.ranks, rows[1:], strict=True):
            table.add_row(*cells, style="bold" if each.lora_rank == made.lora_rank else None)
        screen.print(table)
    else:
        for each, cells in zip((None, *made.ranks), rows, strict=True):
            line = "  ".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
            is_chosen = each is not None and each.lora_rank == made.lora_rank
            screen.paragraph(f"{line}  <" if is_chosen else line)
    screen.paragraph()
    for sentence in sentences(made, calibration):
        screen.paragraph(Text(sentence))


def sentences(made: Plan, calibration: Calibration) -> list[str]:
    """What a plan comes to, and what to be wary of."""
    from byheart.planning.planner import beyond

    chosen, sure = made.chosen, made.chosen.told_probability
    if made.is_reached:
        told = [f"Rank {chosen.lora_rank} is the smallest that reaches the goal, with probability {sure}."]
    else:
        told = [
            f"No rank reaches the goal with probability {made.confidence:g}; rank {chosen.lora_rank} comes nearest, "
            f"with {sure}. Adapt more layers, or split the memory."
        ]
    if made.extrapolates:
        told.append(f"This extrapolates: outside what was calibrated lies {beyond(made)}.")
    if made.calibrated_dtype is not None:
        told.append(
            f"The calibration was made in {made.calibrated_dtype}, and the model runs in another dtype here; "
            "probabilities and times are those of the former."
        )
    if calibration.forecast is None:
        told.append(
            "The calibration's cells carry no law, so there is no predicted loss, and the probability is read from the "
            f"bits to learn alone: {calibration.forecast_reason}."
        )
    if (timing := calibration.timing) is not None:
        machine = calibration.machine
        on = f"{machine['device']}, {counted(machine['num_threads'], 'thread')}"
        told.append(
            f"Times are those of the calibration's machine ({on}), "
            f"within a factor of {timing.factor:.1f} two times out of three."
        )
    return told


def _goal(made: Plan) -> str:
    return "every record certified" if made.goal == 1 else f"{made.goal:.4g} of the records certified"


def _row(each: PlannedRank) -> tuple[str, ...]:
    loss = "–" if each.predicted_nll_nats is None else f"{each.predicted_nll_nats:.3f}"
    about = "–" if each.seconds is None else clock(each.seconds)
    size = each.adapter_bytes / 1e6
    return str(each.lora_rank), each.told_probability, loss, f"{each.num_parameters:,}", f"{size:.3g} MB", about
