"""``byheart fit``: a sweep's table → the law, with its intervals, figures and ``law.json``. Loads no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast, get_args

from rich.text import Text

from byheart.cli.exits import COMPLETE, SOME_FAILED
from byheart.cli.law_table import print_laws
from byheart.cli.live import Narrator, narrating
from byheart.cli.screens import print_json, screens
from byheart.cli.visible import visible
from byheart.errors import SettingsError, unknown
from byheart.law.cautions import cautions
from byheart.law.cells import Axis
from byheart.law.config import FitConfig
from byheart.law.fits import LAW_FILE, LawFits, fit_groups, num_fits
from byheart.law.observation import Evidence, from_rows

FIGURES = "figures"


def fit(directory: Path, *, by: str, axis: str, out: Path | None, as_json: bool) -> int:
    """Fits the law to a sweep's cells, by group and together.

    Returns:
        The exit code.
    """
    from byheart.sweep.results import read_results

    if axis not in get_args(Axis):
        raise SettingsError(f"--axis: {unknown('axis', axis, get_args(Axis))}")
    rows = read_results(directory).to_pylist()
    try:
        evidence = from_rows(rows, by)
    except SettingsError as error:
        raise SettingsError(f"--by: {error}") from error
    wary = cautions(rows, by)
    path = out or directory / LAW_FILE
    config = FitConfig()
    with screens(as_json) as (results, progress):
        with narrating(progress) as narrator:
            with narrator.phase("fitting", num_fits(evidence) * config.num_resamples) as advance:
                fits = fit_groups(evidence, by, cast("Axis", axis), config, advance)
            fits.save(path)
            drawn = _draw(fits, evidence, rows, path.parent / FIGURES, narrator)
        results.paragraph()
        print_laws(results, fits)
        for sentence in wary:
            results.paragraph()
            results.paragraph(Text(f"warning: {visible(sentence)}"))
        results.paragraph()
        results.rows([("law", str(path)), ("figures", drawn)])
    if as_json:
        print_json({**summary(fits, path), "cautions": wary})
    return SOME_FAILED if fits.refusals else COMPLETE


def summary(fits: LawFits, path: Path) -> dict[str, Any]:
    """What ``--json`` says of fitted laws; `LAW_FILE` has each cell and the other forms as well."""
    plain = fits.model_dump(mode="json", exclude={"config"})
    for each in (*plain["fits"], plain["combined"]):
        if each is not None:
            each["outliers"] = [cell["name"] for cell in each.pop("cells") if cell["is_outlier"]]
            del each["forms"]
    return {"law": str(path), **plain}


def _draw(
    fits: LawFits, evidence: Evidence, rows: Sequence[Mapping[str, Any]], directory: Path, narrator: Narrator
) -> str:
    """Draws the figures where matplotlib is there, and says where they are or what they need."""
    from byheart.report.figures import need_matplotlib
    from byheart.report.law_album import num_figures, save_figures

    try:
        need_matplotlib()
    except SettingsError as error:
        return f"none: {error}"
    with narrator.phase("drawing", num_figures(fits)) as advance:
        files = save_figures(fits, evidence, rows, directory, advance)
    return f"{directory} ({len(files)} files)"
