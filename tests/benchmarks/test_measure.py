"""What all benchmarks share: where files go, and what is said of a quick run."""

# pyright: reportMissingImports=false

import argparse
import json
import subprocess
import sys
from pathlib import Path

import ablation
import margin
import measure
import pytest
import tables

from byheart.config import RunConfig

RESULTS = measure.RESULTS


def arguments(monkeypatch, *given: str, **settings):
    monkeypatch.setattr(sys, "argv", ["script.py", *given])
    return measure.with_files(argparse.ArgumentParser(), "script", **{"left_out": "all but one", **settings})


def test_a_quick_run_has_files_of_its_own_and_says_what_it_leaves_out(monkeypatch):
    quick, full = arguments(monkeypatch, "--quick"), arguments(monkeypatch)
    assert (quick.out, full.out) == (RESULTS / "script_quick.json", RESULTS / "script.json")
    assert (quick.picture, full.picture) == (Path("runs/script_quick.svg"), measure.PICTURES / "script.svg")
    assert quick.left_out is not None and "all but one" in quick.left_out
    assert full.left_out is None


def repository(path: Path) -> Path:
    """One with byheart's folders and a commit."""
    for name in ("src/byheart.py", "benchmarks/script.py", "benchmarks/results/old.json", "README.md"):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text("1")
    for command in (
        ["init", "-q"],
        ["add", "-A"],
        ["-c", "user.name=n", "-c", "user.email=e", "commit", "-qm", "first"],
    ):
        subprocess.run(["git", *command], cwd=path, check=True)
    return path / "benchmarks"


@pytest.mark.parametrize(
    ("changed", "is_dirty"),
    [
        (None, False),
        ("benchmarks/results/old.json", False),
        ("README.md", False),
        ("src/byheart.py", True),
        ("src/new.py", True),
        ("benchmarks/script.py", True),
    ],
)
def test_a_commit_is_that_of_the_code(changed, is_dirty, monkeypatch, tmp_path):
    monkeypatch.setattr(measure, "HERE", repository(tmp_path))
    if changed is not None:
        (tmp_path / changed).write_text("2")
    commit = measure.commit()
    assert commit is not None
    assert commit.endswith("-dirty") is is_dirty


def test_outside_of_git_there_is_no_commit(monkeypatch, tmp_path):
    monkeypatch.setattr(measure, "HERE", tmp_path)
    assert measure.commit() is None


def test_the_picture_is_called_after_the_results(monkeypatch):
    assert arguments(monkeypatch, "--out", "some/other.json").picture == measure.PICTURES / "other.svg"


def test_a_script_may_have_a_quick_of_its_own(monkeypatch):
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    monkeypatch.setattr(sys, "argv", ["script.py", "--quick"])
    assert measure.with_files(parser, "script", draws=False).left_out is None


def test_results_are_written_as_json_and_as_a_table_beside_it(tmp_path):
    told = measure.publish(tmp_path / "a.json", {"rows": [1]}, "| a |", "Quick: b.")
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"rows": [1]}
    assert (tmp_path / "a.md").read_text(encoding="utf-8") == f"{told}\n" == "| a |\n\nQuick: b.\n"


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_every_table_that_is_kept_is_what_its_results_say(path):
    if path.stem.endswith("_quick"):
        pytest.skip("its benchmark alone writes its table")
    told = tables.teller(path)(json.loads(path.read_text(encoding="utf-8")))
    assert path.with_suffix(".md").read_text(encoding="utf-8") == f"{told}\n"


def test_results_of_no_benchmark_are_refused():
    with pytest.raises(SystemExit, match="no benchmark's results"):
        tables.teller(Path("other.json"))


def memory(name: str, num_records: int, cpu_seconds_ratio: float = 1.0):
    way = {"num_records": num_records, "num_certified": num_records}
    return {"memory": name, "default": way, "none": way, "cpu_seconds_ratio": cpu_seconds_ratio}


def test_the_margins_bar_is_of_all_records():
    whole = [memory(name, size) for name, size in margin.SIZES.items()]
    few = [memory(name, min(size, 8)) for name, size in margin.SIZES.items()]
    assert " holds" in margin.verdict(whole)
    assert "not measured" in margin.verdict(few)
    assert "8 of 100 records of 100 contacts" in margin.verdict(few)
    assert "not measured" in margin.verdict(whole[:2])
    assert "does not hold" in margin.verdict([*whole[:2], memory("30 short texts", 30, 1.6)])


@pytest.mark.parametrize("saving", [saving for saving in ablation.SAVINGS.values() if saving.config])
def test_a_saving_that_is_left_out_by_settings_changes_them(saving):
    assert RunConfig.build(saving.config) != RunConfig.build({})
