"""The fits that docs/law.md tells of are those of the cells that are kept beside it."""

import csv
import json
from pathlib import Path

import pytest

from byheart.law.config import FitConfig
from byheart.law.fit import LawFit, fit_law
from byheart.law.observation import Evidence, Observation

DOCS = Path(__file__).parents[2] / "docs"
QUICKLY = FitConfig(num_resamples=50)


def observations(name: str, group: str) -> list[Observation]:
    """The rows of a file of ``docs/law`` that a group's fit takes."""
    with (DOCS / "law" / f"{name}.csv").open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    if name == "phonebook":
        rows = [row for row in rows if row["series"] == "equal steps" and row["lora_rank"] in {"2", "3", "4"}]
    else:
        rows = [row for row in rows if group in (row["task.source"], "combined")]
    return [
        Observation(
            group=group,
            lora_rank=int(row["lora_rank"]),
            num_parameters=int(row["num_parameters"]),
            num_answer_tokens=int(row["num_answer_tokens"]),
            nll_before_nats=float(row["nll_before_nats"]),
            nll_after_nats=float(row["nll_after_nats"]),
            num_certified=0,  # the law does not ask
            num_records=1,
            has_converged=row["has_converged"] == "True",
            name=row["cell"],
        )
        for row in rows
    ]


def kept() -> list:
    found = []
    for name in ("authors_texts", "phonebook"):
        document = json.loads((DOCS / "law" / f"{name}.json").read_text(encoding="utf-8"))
        fits = [*document["fits"], *([document["combined"]] if len(document["fits"]) > 1 else [])]
        found += [pytest.param(name, LawFit.model_validate(fit), id=f"{name}, {fit['group']}") for fit in fits]
    return found


@pytest.mark.parametrize(("name", "fit"), kept())
def test_a_kept_fit_is_that_of_its_cells_and_the_docs_have_its_numbers(name, fit):
    again = fit_law(Evidence(tuple(observations(name, fit.group))), fit.group, config=QUICKLY)
    assert again.law.model_dump(exclude={"axis"}) == pytest.approx(fit.law.model_dump(exclude={"axis"}), rel=1e-3)
    assert again.quality.model_dump() == pytest.approx(fit.quality.model_dump(), rel=1e-3)
    assert again.counts == fit.counts
    assert fit.leave_out is not None
    assert again.leave_out is not None
    assert again.leave_out.mape == pytest.approx(fit.leave_out.mape, rel=1e-2)
    assert table_row(fit) in (DOCS / "law.md").read_text(encoding="utf-8")


def table_row(fit: LawFit) -> str:
    """As docs/law.md has it, without what it calls the cells."""

    def constant(name: str, digits: int) -> str:
        interval = fit.intervals[name]
        told = [f"{value:.{digits}f}" for value in (getattr(fit.law, name), interval.low, interval.high)]
        return "{} ({} to {})".format(*told).replace("-", "−")

    assert fit.leave_out is not None
    cells = [
        constant("coefficient", 1),
        constant("rank_exponent", 2),
        constant("length_exponent", 2),
        constant("offset_nats", 1),
        f"{fit.counts.used}",
        f"{fit.counts.saturated}",
        f"{fit.quality.r_squared:.3f}",
        f"{100 * fit.quality.mape:.1f} %",
        f"{100 * fit.leave_out.mape:.1f} %",
    ]
    return f"| {' | '.join(cells)} |"
