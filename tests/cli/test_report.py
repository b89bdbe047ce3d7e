import json
import shutil
import subprocess
import sys

import pytest

from byheart.cli.report import kind_of
from byheart.report.html import HEAD
from conftest import PAIRS


def test_a_bundle_becomes_a_page_beside_it(bundle, invoke, tmp_path):
    copy = shutil.copytree(bundle, tmp_path / "bundle")
    result = invoke("report", copy)
    assert result.exit_code == 0, result.output
    assert "4 of 4 records certified" in result.stdout
    assert f"page   {copy / 'report.html'} (" in result.stdout
    content = (copy / "report.html").read_text(encoding="utf-8")
    assert content.startswith(HEAD)
    assert "Code of the vault?" in content
    assert invoke("show", copy).exit_code == 0, "the bundle is still whole"
    assert invoke("report", copy).exit_code == 0, "a page is written over"


def test_json_is_one_object_on_stdout(bundle, invoke, tmp_path):
    out = tmp_path / "page.html"
    result = invoke("report", bundle, "--out", out, "--json")
    told = json.loads(result.stdout)
    assert told == {"report": str(out), "kind": "bundle", "num_bytes": out.stat().st_size, "has_text": True}
    assert "4 of 4 records certified" in result.stderr


def test_no_text_leaves_out_prompts_and_answers(bundle, invoke, tmp_path):
    out = tmp_path / "page.html"
    result = invoke("report", bundle, "--out", out, "--no-text", "--json")
    assert json.loads(result.stdout)["has_text"] is False
    assert "left out" in result.stderr
    content = out.read_text(encoding="utf-8")
    for prompt, answer in PAIRS:
        assert prompt not in content
        assert answer.strip() not in content
    records = [json.loads(line) for line in (bundle / "records.jsonl").read_text().splitlines()]
    assert not [record["id"] for record in records if record["id"] in content]


def test_the_same_bundle_gives_the_same_bytes(bundle, invoke, tmp_path):
    for name in ("a.html", "b.html"):
        assert invoke("report", bundle, "--out", tmp_path / name).exit_code == 0
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_nothing_but_a_page_is_written_over(bundle, invoke, tmp_path):
    notes = tmp_path / "notes.html"
    notes.write_text("mine")
    result = invoke("report", bundle, "--out", notes)
    assert result.exit_code == 2
    assert "is no page of byheart's; choose another --out" in result.stderr
    assert notes.read_text() == "mine"


def test_a_directory_is_no_place_for_a_page(bundle, invoke, tmp_path):
    result = invoke("report", bundle, "--out", tmp_path)
    assert result.exit_code == 2
    assert "--out takes a file" in result.stderr


def test_what_is_neither_bundle_nor_sweep_is_refused(invoke, tmp_path):
    result = invoke("report", tmp_path)
    assert result.exit_code == 2
    assert "nothing to report on: it has neither byheart.json" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_unfinished_run_is_told_as_one(invoke, tmp_path):
    (tmp_path / "checkpoint.safetensors").touch()
    result = invoke("report", tmp_path)
    assert result.exit_code == 2
    assert "unfinished run" in result.stderr


def test_a_changed_bundle_is_refused(bundle, invoke, tmp_path):
    copy = shutil.copytree(bundle, tmp_path / "bundle")
    (copy / "records.jsonl").write_text("")
    result = invoke("report", copy)
    assert result.exit_code == 2
    assert "was changed after the bundle was written" in result.stderr
    assert not (copy / "report.html").exists()


@pytest.mark.parametrize(
    ("name", "kind"), [("byheart.json", "bundle"), ("results.parquet", "sweep"), ("reproduction.json", "reproduction")]
)
def test_a_directory_is_known_by_what_it_holds(tmp_path, name, kind):
    (tmp_path / name).touch()
    assert kind_of(tmp_path) == kind


def test_a_reproduction_becomes_a_page_without_texts(tmp_path, tiny_model_directory, invoke):
    preset, out = tmp_path / "preset.yaml", tmp_path / "out"
    base = {
        "model": {"name": str(tiny_model_directory), "dtype": "float32", "device": "cpu"},
        "placement": {"layers": "all", "lora_rank": 2},
        "learn": {"epochs": 2},
    }
    rule = {"task": {"name": "linear-rule", "num_pairs": 3, "num_unseen": 2}, "axes": {"method": ["sft"]}}
    content = {"about": "a test", "paper_model": "qwen3-8b", "base": base, "experiments": {"linear-rule": [rule]}}
    preset.write_text(json.dumps(content))
    assert invoke("reproduce", "table3", "--preset", preset, "--out", out).exit_code == 0
    result = invoke("report", out, "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert (told["kind"], told["has_text"]) == ("reproduction", False)
    assert "none; a reproduction's page shows numbers alone" in result.stderr
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "Table 3" in page
    assert str(tmp_path) not in page.replace(str(tiny_model_directory), ""), "no place of this machine but the model's"


def test_damaged_metrics_are_named_with_the_mend(bundle, invoke, tmp_path):
    copy = shutil.copytree(bundle, tmp_path / "bundle")
    (copy / "metrics.jsonl").write_text("{")
    result = invoke("report", copy)
    assert result.exit_code == 2
    assert "remove it, and the page does without" in result.stderr
    (copy / "metrics.jsonl").unlink()
    assert invoke("report", copy).exit_code == 0
    assert "no curve" in (copy / "report.html").read_text(encoding="utf-8")


def test_a_page_that_is_too_large_is_written_with_a_warning(bundle, invoke, tmp_path, monkeypatch):
    monkeypatch.setattr("byheart.report.html.LARGEST_BYTES", 1000)
    result = invoke("report", bundle, "--out", tmp_path / "page.html")
    assert result.exit_code == 0
    assert "warning: the page has 0." in result.stderr


def test_a_page_takes_no_torch(bundle, tmp_path):
    code = (
        "import sys\nfrom byheart.cli.main import main\n"
        "try:\n    main()\nfinally:\n    print('torch' in sys.modules, file=sys.stderr)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, "report", str(bundle), "--out", str(tmp_path / "page.html")],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert ran.stderr.strip().endswith("False")
