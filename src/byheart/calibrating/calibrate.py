"""``byheart calibrate``: the sweep that a plan needs, and the calibration that is made of it.

Its cells have the settings with which `byheart.learn` is called, so that what they come to is what learning comes to.
The cheapest is run first, and what it took tells how long the rest may. Every cell's result is kept as it comes, and
the same call goes on with those that are left.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from byheart.artifacts import locked, read_json, write_json
from byheart.calibrating.grid import HEAVIEST, LONGEST_TOKENS, SAMPLES, grid_of, kind_of, size_field, sizes
from byheart.config import RunConfig
from byheart.errors import LawError
from byheart.fingerprint import fingerprint
from byheart.law.forecast import fit_forecast
from byheart.law.recall import fit_recall
from byheart.model.base import Base, load
from byheart.model.placement import Placement, resolve
from byheart.planning.calibration import Calibration, CalibrationCell, Subject, settings_of, user_directory
from byheart.planning.need import measured_need
from byheart.planning.timing import Timing
from byheart.progress import Silent
from byheart.sweep.cell import Cell, CellResult
from byheart.sweep.driver import Sweep
from byheart.sweep.engines import Engine
from byheart.sweep.grid import expand, read_grid
from byheart.sweep.local import LocalEngine
from byheart.sweep.prepare import prepare
from byheart.sweep.progress import SweepReporter
from byheart.sweep.results import need_pyarrow
from byheart.tasks.registry import build, parse

BITS_FILE, BITS_KIND, BITS_VERSION = "bits.json", "calibration bits", 1
_MACHINE = ("dtype", "device", "num_threads")
"""What decides how long a cell takes, as far as a cell knows it."""


def calibrate(
    config: RunConfig,
    *,
    out: Path | None = None,
    engine: Engine | None = None,
    reporter: SweepReporter,
    interrupted: Callable[[], bool] = lambda: False,
) -> tuple[Calibration, Path]:
    """Runs what is left of a calibration's cells, fits them, and stores it.

    Args:
        config: of a run as it is to be planned: model, placement, method; its rank is not asked.
        out: the directory for the calibration and, beside it, its cells; None: the user's own, where plans look.
        engine: where cells run; None: one process on this machine.
        reporter: told how far it is.
        interrupted: asked a few times a second; True ends after the cells under way.

    Returns:
        The calibration, and the file it is in.

    Raises:
        SettingsError, ModelError: before any cell runs.
        LawError: the cells tell nothing of when recall comes.
        InterruptedRunError: ``interrupted`` said so, and cells are left.
    """
    need_pyarrow()
    directory = out or user_directory()
    reporter.say(f"loading {config.model.name}")
    base = load(config.model, reporter.say)
    outline = resolve(config.placement, base.model, 1)
    subject = Subject.of(base.identity, outline, config.method.name)
    place = directory / f"{subject.key}.cells"
    with locked(place):
        bits = kept_bits(place / BITS_FILE, config, lambda: bits_per_unit(base, config, outline))
        cells = prepared(config, base, outline, bits, reporter)
        results = run(cells, place, engine or LocalEngine(1), reporter, interrupted)
    calibration = made(subject, outline.num_parameters, results, config)
    path = directory / subject.file_name
    calibration.save(path)
    return calibration, path


def kept_bits(path: Path, config: RunConfig, measure: Callable[[], dict[str, float]]) -> dict[str, float]:
    """What sizes follow from, as the first start measured it: another thread count or torch rounds another way, and a
    size that moves by one is another cell.

    Args:
        path: where it is kept.
        config: of a run; of another encoding than the kept one's it is measured anew.
        measure: what is asked then.

    Raises:
        ArtifactError: the file is damaged.
    """
    measured_with = fingerprint([config.encode, SAMPLES])
    if not path.is_file() or read_json(path, BITS_KIND, BITS_VERSION)["measured_with"] != measured_with:
        write_json(path, BITS_KIND, BITS_VERSION, {"measured_with": measured_with, "bits": measure()})
    return read_json(path, BITS_KIND, BITS_VERSION)["bits"]


def prepared(
    config: RunConfig, base: Base, outline: Placement, bits: Mapping[str, float], reporter: SweepReporter
) -> list[Cell]:
    """The cells of a calibration, sized for this base model and placement: the cheapest first, which tells how long the
    others may take, then the dearest, so that no worker is left alone with one of those at the end.

    Args:
        config: of a run as it is to be planned.
        base: the model.
        outline: the placement, of rank 1.
        bits: that the model lacks for a unit of each kind; see `bits_per_unit`.
        reporter: told of it.
    """
    plain = config.model_dump(mode="json", exclude={"format"})
    told = ", ".join(
        f"{value:.1f} a {'pair' if kind == 'phonebook' else 'token'} of {kind}" for kind, value in bits.items()
    )
    reporter.say(f"bits that the base model lacks: {told}")
    longest = min(LONGEST_TOKENS, (base.max_tokens or 2 * LONGEST_TOKENS) // 2)  # the rest is room for the prompt
    per_rank = outline.num_parameters
    drafts = expand(read_grid(grid_of(plain, bits, per_rank, longest)), "calibration")
    cells = prepare(drafts, reporter.say, lambda *_: base.tokenizer)
    heaviest = max(size * unit for kind, unit in bits.items() for size in sizes(kind, unit, per_rank, longest))
    if heaviest < HEAVIEST * per_rank:
        reporter.say(
            f"the largest memory asks for {heaviest / per_rank:.2g} bits a parameter at rank 1, and adapters were seen "
            f"to hold about {HEAVIEST:g}: if all cells are held, nothing is known of where recall ends, and there will "
            "be no calibration; fewer --layers or --modules are filled sooner"
        )
    cheapest, *others = sorted(cells, key=lambda cell: cell.work)
    return [cheapest, *reversed(others)]


def run(
    cells: Sequence[Cell], place: Path, engine: Engine, reporter: SweepReporter, interrupted: Callable[[], bool]
) -> list[CellResult]:
    """The results of all cells; the time that is left is told once one has ended here, as a rule the cheapest."""
    is_told = False

    def tell_time(result: CellResult) -> None:
        nonlocal is_told
        if is_told or result.measured is None or result.name not in sweep.attempts:  # begun by an earlier start
            return
        is_told, took, cell = True, result.measured.seconds, sweep.cells[result.name]
        left = [each for each in cells if each.name in sweep.attempts or each.name not in sweep.results]
        rest = sum(each.work for each in left) - cell.work
        likely = took * rest / cell.work / engine.num_slots()
        spent = min(result.measured.epochs / cell.run.learn.budget_epochs(len(cell.memory)), 1.0)
        reporter.say(
            f"{len(left)} of {len(cells)} cells to do; by what one took, {took:.0f} s, the others take about "
            f"{math.ceil(likely / 60)} min if they end as early in their budgets as it did, at most "
            f"{math.ceil(likely / spent / 60)} min"
        )

    sweep = Sweep(cells, place, reporter, interrupted, tell_time)
    return sweep.run(engine, retry_failed=True)


def made(subject: Subject, parameters_per_rank: int, results: Sequence[CellResult], config: RunConfig) -> Calibration:
    """The calibration that follows from cells.

    Args:
        subject: of what.
        parameters_per_rank: of the placement.
        results: of the cells.
        config: with which they were run.

    Raises:
        LawError: too few ran to their end, or all reached the goal, or none did; or they ran in different dtypes.
    """
    machines = list(
        dict.fromkeys(tuple(getattr(each.measured, name) for name in _MACHINE) for each in results if each.measured)
    )
    if len(dtypes := {dtype for dtype, *_ in machines}) > 1:
        raise LawError(
            f"cells ran in {' and '.join(sorted(dtypes))}, on different machines: a calibration is of one; remove "
            "the cells of the other and calibrate again"
        )
    rows = tuple(_row(result) for result in results if result.measured is not None)
    if not rows:
        raise LawError(
            f"all {len(results)} cells failed, the first with {results[0].error}; mend that and calibrate again"
        )
    observations = [row.observation for row in rows]
    forecast, reason = None, ""
    try:
        forecast = fit_forecast(observations)
    except LawError as error:
        reason = str(error)
    recall = fit_recall(observations, forecast)
    return Calibration(
        subject=subject,
        settings=settings_of(config),
        parameters_per_rank=parameters_per_rank,
        cells=rows,
        num_failed=len(results) - len(rows),
        forecast=forecast,
        forecast_reason=reason,
        recall=recall,
        # Seconds of a cell that had all cores and of one that shared them are not of one law.
        timing=Timing.of(observations, [row.seconds for row in rows]) if len(machines) == 1 else None,
        machine=dict(zip(_MACHINE, machines[0], strict=True)),
        versions={"byheart": version("byheart"), "torch": version("torch")},
    )


def bits_per_unit(base: Base, config: RunConfig, outline: Placement) -> dict[str, float]:
    """By kind, the bits that the base model lacks for a token of it, or for a pair."""
    bits = {}
    for kind, sample in SAMPLES.items():
        need = measured_need(build(parse(sample), base.tokenizer), base, config, outline, Silent())
        bits[kind] = need.bits / sample[size_field(kind)]
    return bits


def _row(result: CellResult) -> CalibrationCell:
    assert result.measured is not None, "only cells that ran to their end are rows"
    values = result.measured.model_dump()
    names = CalibrationCell.model_fields.keys() & values.keys()
    return CalibrationCell(cell=result.name, group=kind_of(result.task), **{name: values[name] for name in names})
