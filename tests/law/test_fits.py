import json
import subprocess
import sys

import pytest

from byheart.errors import ArtifactError, LawError
from byheart.law.config import FitConfig
from byheart.law.fits import LawFits, fit_groups, num_fits
from byheart.law.observation import Evidence
from laws_for_tests import LAW, observed

CONFIG = FitConfig(num_resamples=50)
STEEP = LAW.model_copy(update={"rank_exponent": 0.9})
EVIDENCE = Evidence(
    (
        *observed(noise=0.01, group="a"),
        *observed(STEEP, noise=0.01, group="b"),
        *observed(LAW, (1,), (25, 50), group="c"),
    )
)


@pytest.fixture(scope="module")
def told() -> list[int]:
    return []


@pytest.fixture(scope="module")
def fits(told):
    return fit_groups(EVIDENCE, "task", config=CONFIG, advance=told.append)


def test_each_group_has_its_own_law(fits):
    assert [fit.group for fit in fits.fits] == ["a", "b"]
    assert fits.fits[0].law.rank_exponent == pytest.approx(0.6, abs=0.05)
    assert fits.fits[1].law.rank_exponent == pytest.approx(0.9, abs=0.05)


def test_the_combined_law_is_of_all_cells(fits):
    assert fits.combined.group == "combined"
    assert fits.combined.counts.used == 52
    assert {cell.group for cell in fits.combined.cells} == {"a", "b", "c"}
    assert fits.all_fits == (*fits.fits, fits.combined)


def test_a_group_that_cannot_be_fitted_is_kept_with_its_reason(fits):
    [refusal] = fits.refusals
    assert refusal.group == "c"
    assert "at least 6 are needed" in refusal.reason


def test_progress_adds_up_whatever_is_refused(fits, told):
    assert sum(told) == num_fits(EVIDENCE) * CONFIG.num_resamples == 200


def test_one_group_alone_is_also_the_combined_one():
    evidence = EVIDENCE.of("a")
    fits = fit_groups(evidence, "task", config=CONFIG)
    assert num_fits(evidence) == 1
    assert fits.combined is not None
    assert fits.combined.law == fits.fits[0].law
    assert fits.all_fits == fits.fits


def test_nothing_to_fit_is_an_error_with_every_reason():
    evidence = Evidence((*observed(LAW, (1,), (25,), group="x"), *observed(LAW, (1,), (50,), group="y")))
    with pytest.raises(LawError, match=r"x: 1 different .*\ny: 1 different .*\ncombined: 2 different"):
        fit_groups(evidence, "task", config=CONFIG)


def test_what_was_written_is_read_back(fits, tmp_path):
    fits.save(tmp_path / "law.json")
    assert LawFits.read(tmp_path / "law.json") == fits
    document = json.loads((tmp_path / "law.json").read_text())
    assert (document["kind"], document["schema_version"]) == ("law", 1)


def test_a_damaged_file_is_refused(fits, tmp_path):
    path = tmp_path / "law.json"
    fits.save(path)
    document = json.loads(path.read_text())
    document["fits"][0]["law"]["rank_exponent"] = -1
    path.write_text(json.dumps(document))
    with pytest.raises(ArtifactError, match=r"not a whole law: fits\.0\.law\.rank_exponent.*fit the sweep again"):
        LawFits.read(path)


def test_the_law_loads_no_torch():
    code = (
        "import sys, byheart.law.fits, byheart.law.observation\n"
        "print([name for name in ('torch', 'transformers', 'pyarrow', 'matplotlib') if name in sys.modules])\n"
        "assert 'scipy' in sys.modules\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert ran.stdout == "[]\n"
