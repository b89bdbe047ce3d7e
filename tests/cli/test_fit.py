import importlib.util
import json
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from byheart.law.config import FitConfig
from byheart.law.fits import LawFits
from byheart.law.observation import Observation
from laws_for_tests import LAW, observed

STEEP = LAW.model_copy(update={"rank_exponent": 0.9})
HEAD = {b"byheart": json.dumps({"kind": "sweep results", "schema_version": 1})}


def row(cell: Observation) -> dict[str, object]:
    return {
        "cell": cell.name,
        "status": "done",
        "error": None,
        "task": cell.group,
        "lora_rank": cell.lora_rank,
        "num_parameters": cell.num_parameters,
        "num_answer_tokens": cell.num_answer_tokens,
        "num_records": cell.num_records,
        "nll_before_nats": cell.nll_before_nats,
        "nll_after_nats": cell.nll_after_nats,
        "token_accuracy": 0.5,
        "num_certified": cell.num_certified,
        "has_converged": cell.has_converged,
    }


def failed(group: str) -> dict[str, object]:
    return {"cell": f"{group}-failed", "status": "failed", "error": "out of memory", "task": group}


def write(directory, rows):
    names = dict.fromkeys(name for each in rows for name in each)
    table = pa.table({name: [each.get(name) for each in rows] for name in names})
    pq.write_table(table.replace_schema_metadata(HEAD), directory / "results.parquet")
    return directory


@pytest.fixture(autouse=True)
def without_figures(request, monkeypatch):
    """Figures take seconds; the tests that are about them ask for them."""
    if "with_figures" not in request.fixturenames:
        monkeypatch.setattr("byheart.cli.fit._draw", lambda *_: "none")


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    """Intervals to a digit are not what is tested here."""
    monkeypatch.setattr("byheart.cli.fit.FitConfig", lambda: FitConfig(num_resamples=50))


@pytest.fixture
def with_figures() -> None:
    """Leaves figures to be drawn."""


@pytest.fixture
def one_group(tmp_path):
    return write(tmp_path, [*map(row, observed(noise=0.01)), failed("random")])


def test_the_law_is_told_and_written(one_group, invoke, with_figures):
    result = invoke("fit", one_group)
    assert result.exit_code == 0, result.output
    fits = LawFits.read(one_group / "law.json")
    assert [fit.group for fit in fits.fits] == ["random"]
    assert fits.combined is not None
    assert str(fits.combined.law) in result.stdout
    agreed = fits.combined.quality
    assert f"{agreed.r_squared:.3f}" in result.stdout
    assert f"{100 * agreed.mape:.1f} %" in result.stdout
    assert "25     1 failed" in result.stdout
    assert str(fits.combined.intervals["rank_exponent"]) in result.stdout
    assert "saturating in bits" in result.stdout
    assert (one_group / "figures" / "predicted-against-measured.svg").is_file()
    assert (one_group / "figures" / "random-law.png").is_file()


def test_json_is_one_object_and_the_rest_goes_to_stderr(one_group, invoke):
    result = invoke("fit", one_group, "--json", "--axis", "num_parameters")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["axis"] == "num_parameters"
    assert told["law"] == str(one_group / "law.json")
    [fit] = told["fits"]
    assert fit["law"]["rank_exponent"] == pytest.approx(LAW.rank_exponent, abs=0.05)
    assert fit["counts"] == {"used": 25, "saturated": 0, "unconverged": 0, "unlearnt": 0, "failed": 1}
    assert set(fit["intervals"]["rank_exponent"]) == {"low", "high"}
    assert fit["leave_out"]["num_predicted"] == 9
    assert told["combined"]["law"] == fit["law"]
    assert "leave-out" in result.stderr


def test_a_group_without_a_law_is_told_and_the_exit_code_says_so(tmp_path, invoke):
    few = observed(STEEP, (1,), (25, 50), group="few")
    directory = write(tmp_path, [row(cell) for cell in (*observed(noise=0.01), *few)])
    result = invoke("fit", directory)
    assert result.exit_code == 3, result.output
    assert "few: 2 different (rank, length) to fit, at least 6 are needed" in result.stdout
    assert "combined" in result.stdout
    assert (directory / "law.json").is_file()


def test_nothing_to_fit_writes_nothing(tmp_path, invoke):
    directory = write(tmp_path, [row(cell) for cell in observed(LAW, (4,), (25, 50))] + [failed("random")])
    result = invoke("fit", directory)
    assert result.exit_code == 2
    assert "error: random: 2 different (rank, length) to fit, at least 6 are needed" in result.stderr
    assert result.stdout == ""
    assert [path.name for path in directory.iterdir()] == ["results.parquet"]


def test_an_unknown_field_to_group_by_is_told_the_columns(one_group, invoke):
    result = invoke("fit", one_group, "--by", "tusk")
    assert result.exit_code == 2
    assert (
        "error: --by: unknown column to group by 'tusk' (did you mean 'task'?); allowed: cell, status" in result.stderr
    )
    assert not (one_group / "law.json").exists()


def test_an_unknown_axis_is_told_the_two(one_group, invoke):
    result = invoke("fit", one_group, "--axis", "rank")
    assert result.exit_code == 2
    assert "--axis: unknown axis 'rank'" in result.stderr
    assert "allowed: lora_rank, num_parameters" in result.stderr


def test_a_directory_without_a_table_is_refused(tmp_path, invoke):
    result = invoke("fit", tmp_path)
    assert result.exit_code == 2
    assert "results.parquet does not exist" in result.stderr


def test_the_law_goes_where_out_says(one_group, tmp_path, invoke):
    out = tmp_path / "elsewhere" / "probe.json"
    assert invoke("fit", one_group, "--out", out).exit_code == 0
    assert LawFits.read(out).combined is not None
    assert not (one_group / "law.json").exists()


def without(missing):
    """``find_spec`` where one library is not installed."""
    find_spec = importlib.util.find_spec
    return lambda name, *rest: None if name == missing else find_spec(name, *rest)


def test_without_matplotlib_the_law_is_written_and_the_mend_told(one_group, invoke, monkeypatch, with_figures):
    monkeypatch.setattr(importlib.util, "find_spec", without("matplotlib"))
    result = invoke("fit", one_group)
    assert result.exit_code == 0, result.output
    assert "none: figures need matplotlib; pip install 'byheart[report]'" in result.stdout
    assert (one_group / "law.json").is_file()
    assert not (one_group / "figures").exists()


def test_fitting_loads_no_torch(one_group):
    spy = (
        "import sys\n"
        "from byheart.cli import fit\n"
        "fit._draw = lambda *_: 'none'\n"
        "from byheart.cli.main import main\n"
        "try:\n"
        "    main()\n"
        "finally:\n"
        "    print([name for name in ('torch', 'transformers', 'safetensors') if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", spy, "fit", str(one_group)], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.endswith("\n[]\n")
