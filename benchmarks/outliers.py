"""How many cells the law needs to be found all the same where one of them is far off: simulated, nothing is learnt.

    python benchmarks/outliers.py [--seeds 3] [--quick]

Cells obey ΔL = 26·r^0.6·ℓ^(-0.5) + 0.3 with 2 % of noise. One of them, each in turn, is multiplied by a factor; the law
is fitted to all as `byheart fit` fits, and held against the one that the cells were made by: the mean of what its ΔL
are off, over all cells, in per cent. Beside it stands the same of cells among which none is off.
"""

from __future__ import annotations

import argparse
import statistics
from typing import Any

import measure
import numpy as np

from byheart.law.cells import Cells
from byheart.law.curves import PaperCurve
from byheart.law.form import Law
from byheart.law.observation import Observation
from byheart.law.solve import solve

LAW = Law(axis="lora_rank", coefficient=26.0, rank_exponent=0.6, length_exponent=0.5, offset_nats=0.3)
GRIDS = {25: ((1, 2, 4, 8, 16), (25, 50, 100, 200, 400)), 12: ((1, 2, 4, 8), (50, 100, 200)), 6: ((1, 2, 4), (50, 200))}
FACTORS = (0.3, 0.6, 1.5)
NOISE = 0.02
BEFORE_NATS = 80.0
"""More than any cell loses: none is saturated."""


def main() -> None:
    """Simulates every grid and reports."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, help="of the noise (3)")
    arguments = measure.with_files(parser, "outliers", left_out="one seed, not three", draws=False, has_threads=False)
    seeds = arguments.seeds or (1 if arguments.quick else 3)
    rows = [row(num_cells, seeds) for num_cells in GRIDS]
    report = {"law": LAW.model_dump(), "noise": NOISE, "factors": FACTORS, "num_seeds": seeds, "rows": rows}
    print(measure.publish(arguments.out, report, text(report), arguments.left_out))


def row(num_cells: int, num_seeds: int) -> dict[str, Any]:
    """The errors of a grid of so many cells."""
    clean = [error(num_cells, seed) for seed in range(num_seeds)]
    off = [
        error(num_cells, seed, at, factor) for seed in range(num_seeds) for at in range(num_cells) for factor in FACTORS
    ]
    return {
        "num_cells": num_cells,
        "clean": {"median": statistics.median(clean), "worst": max(clean)},
        "one_off": {"median": statistics.median(off), "worst": max(off)},
    }


def error(num_cells: int, seed: int, at: int | None = None, factor: float = 1.0) -> float:
    """Mean error of the fitted law's ΔL, a share of the true one's, with the cell ``at`` off by ``factor``."""
    generator = np.random.default_rng(seed)
    points = [(rank, length) for rank in GRIDS[num_cells][0] for length in GRIDS[num_cells][1]]
    true_N = np.array([float(LAW.unclipped_nats(*point)) for point in points])
    drop_N = true_N * (1 + NOISE * generator.standard_normal(len(points)))
    if at is not None:
        drop_N[at] *= factor
    cells = Cells.of([_cell(*point, drop) for point, drop in zip(points, drop_N.tolist(), strict=True)], "lora_rank")
    curve = PaperCurve()
    law = curve.law(solve(curve, cells, is_robust=True).x_P, cells)
    fitted_N = np.array([float(law.unclipped_nats(*point)) for point in points])
    return float(np.mean(np.abs(fitted_N / true_N - 1)))


def _cell(rank: int, length: int, drop_nats: float) -> Observation:
    return Observation(
        group="simulated",
        lora_rank=rank,
        num_parameters=rank,
        num_answer_tokens=length,
        nll_before_nats=BEFORE_NATS,
        nll_after_nats=BEFORE_NATS - drop_nats,
        num_certified=0,
        num_records=1,
        has_converged=True,
        name=f"{rank}-{length}",
    )


def text(report: dict[str, Any]) -> str:
    """A row a grid, in Markdown."""
    names = ["cells", "clean: median error %", "worst", "one cell off: median error %", "worst"]
    cells = [
        [
            f"{row['num_cells']}",
            *(f"{100 * row[kind][name]:.1f}" for kind in ("clean", "one_off") for name in row[kind]),
        ]
        for row in report["rows"]
    ]
    factors = ", ".join(f"{factor:g}" for factor in report["factors"])
    told = f"{100 * report['noise']:g} % of noise, {report['num_seeds']} seeds; each cell in turn off by {factors}."
    return f"{measure.table(names, cells)}\n\n{told}"


if __name__ == "__main__":
    main()
