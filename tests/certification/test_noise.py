import pytest

from byheart.certification.certificate import Failure, RecordCertificate
from byheart.certification.noise import NOISE_FILE, NoiseTable, grade, noise_table, num_robust
from byheart.errors import SettingsError

ENGINE = "llama.cpp Q4_1"


def record(*margins: float, failed: bool = False) -> RecordCertificate:
    return RecordCertificate(
        id="r",
        verdict="failed" if failed else "certified",
        tokens=("a",) * len(margins),
        token_ids=(1,) * len(margins),
        p=(0.9,) * len(margins),
        nll_nats=(0.1,) * len(margins),
        token_rank=(1,) * len(margins),
        logit_margin=margins,
        rival=("b",) * len(margins),
        first_failure=Failure(position=0, expected="a", got="b") if failed else None,
    )


@pytest.fixture
def noise() -> float:
    return noise_table().margin_loss_nats[ENGINE]


def test_the_closest_call_decides(noise):
    assert grade(record(9.0, noise + 0.01), ENGINE) == "robust"
    assert grade(record(9.0, noise), ENGINE) == "close"


def test_a_record_that_failed_is_graded_so_whatever_its_margins():
    assert grade(record(9.0, failed=True), ENGINE) == "failed"


def test_robust_records_are_counted(noise):
    assert num_robust((record(noise + 1), record(noise / 2), record(9.0, failed=True)), ENGINE) == 1


def test_an_engine_that_nobody_measured_is_told_what_there_is():
    with pytest.raises(SettingsError, match=r"unknown engine 'vLLM'.*; allowed: .*llama\.cpp Q4_1"):
        grade(record(9.0), "vLLM")


def test_the_table_says_where_it_comes_from():
    table = NoiseTable.model_validate_json(NOISE_FILE.read_bytes())
    assert "benchmarks/engine_noise.py" in table.source
    assert {"torch float32", "merged bfloat16", "llama.cpp F16", "llama.cpp Q8_0", ENGINE} == set(
        table.margin_loss_nats
    )
