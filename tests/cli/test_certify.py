import json
import shutil
from pathlib import Path

import pytest

from byheart.certification.certificate import Certificate

KEYS = [
    "num_records",
    "num_answer_tokens",
    "exact_match",
    "num_certified",
    "num_recited",
    "num_failed",
    "token_accuracy",
    "nll_nats",
    "min_probability",
    "model",
    "bundle",
]


def test_a_bundle_is_measured_anew(bundle, tmp_path, tiny_model_directory, invoke):
    before = (bundle / "certificate.json").read_bytes()
    out = tmp_path / "today" / "certificate.json"
    result = invoke("certify", bundle, "--out", out, "--json", "--model", tiny_model_directory)
    assert result.exit_code == 0
    values = json.loads(result.stdout)
    assert list(values) == KEYS
    assert (values["num_certified"], values["bundle"]) == (4, str(bundle))
    assert (bundle / "certificate.json").read_bytes() == before
    assert Certificate.read(out).is_complete
    assert "4 of 4 records come back to the letter" in result.stderr
    assert "every record has the verdict it had when it was learnt" in result.stderr


def test_other_records_are_measured(bundle, tmp_path, write_records, invoke):
    records = write_records(tmp_path / "other.jsonl", [("Who else?", "nobody"), ("Say it.", " leading and trailing ")])
    result = invoke("certify", bundle, records)
    assert result.exit_code == 3
    assert "1 of 2 records comes back to the letter; 1 does not" in result.stdout
    assert "Who else?  token 1 of " in result.stdout
    assert "when it was learnt" not in result.stdout


def test_what_is_refused(bundle, tmp_path, invoke):
    for arguments, message in (
        ([tmp_path], "is not a byheart bundle"),
        ([bundle, "--out", bundle / "certificate.json"], "lies in the bundle itself"),
        ([bundle, tmp_path / "none.jsonl"], "there is no such file"),
        ([bundle, "--model", "smollm2-135"], "did you mean 'smollm2-135m'?"),
    ):
        result = invoke("certify", *arguments, "--json")
        assert result.exit_code == 2
        assert result.stderr.splitlines()[-1].startswith("error: ")
        assert message in result.stderr
        assert result.stdout == ""


def test_a_file_that_is_no_certificate_is_not_written_over(bundle, tmp_path, write_records, invoke):
    records = write_records(tmp_path / "other.jsonl", [("Who else?", "nobody")])
    before = records.read_bytes()
    result = invoke("certify", bundle, records, "--out", records)
    assert result.exit_code == 2
    assert "is left as it is: choose another place" in result.stderr
    assert records.read_bytes() == before


@pytest.fixture
def adapter(bundle, tmp_path) -> Path:
    """The bundle's adapter, with nothing of byheart's beside it."""
    (tmp_path / "adapter").mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        shutil.copy(bundle / name, tmp_path / "adapter")
    return tmp_path / "adapter"


def test_an_adapter_that_byheart_did_not_make_is_measured(adapter, records, settings, tmp_path, invoke):
    out = tmp_path / "certificate.json"
    result = invoke("certify", adapter, records, "--config", settings, "--out", out, "--json")
    assert result.exit_code == 0
    values = json.loads(result.stdout)
    assert list(values) == KEYS
    assert (values["num_certified"], values["bundle"]) == (4, str(adapter))
    assert Certificate.read(out).is_complete
    assert "4 of 4 records come back to the letter" in result.stderr
    assert "when it was learnt" not in result.stderr


def test_what_is_refused_of_other_adapters(adapter, bundle, records, settings, invoke):
    for arguments, message in (
        ([adapter], "give its records: byheart certify"),
        ([adapter, records, "--out", adapter / "certificate.json"], "lies in the bundle itself"),
        ([adapter, records, "--model", "smollm2-135"], "did you mean 'smollm2-135m'?"),
        ([bundle, "--config", settings], "a bundle has its own settings"),
    ):
        result = invoke("certify", *arguments, "--json")
        assert result.exit_code == 2
        assert message in result.stderr
        assert result.stdout == ""
