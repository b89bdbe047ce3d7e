import json

import pytest
from pydantic import ValidationError

from byheart.certification.certificate import Failure
from byheart.errors import ArtifactError
from byheart.export.engine_certificate import EngineCertificate, EngineNumerics, EngineRecord

NUMERICS = EngineNumerics(
    engine="llama.cpp",
    version="1",
    base_file="base.gguf",
    base_sha256="b",
    quantisation="Q4_1",
    adapter_file_sha256="a",
    num_threads=1,
)
EXACT = EngineRecord(id="a", verdict="exact", p=(0.9, None), logit_margin=(2.0, None), first_failure=None, chat="exact")
REWORDED = EngineRecord(id="b", verdict="exact", p=(0.8,), logit_margin=(0.5,), first_failure=None, chat="other prompt")
FAILED = EngineRecord(
    id="c",
    verdict="failed",
    p=(),
    logit_margin=(),
    first_failure=Failure(position=0, expected="4", got="5"),
    chat="other text",
)


def certificate(*records: EngineRecord, quantisation: str = "Q4_1") -> EngineCertificate:
    numerics = NUMERICS.model_copy(update={"quantisation": quantisation})
    return EngineCertificate(numerics=numerics, adapter_sha256="x", memory_fingerprint="y", records=records)


def test_records_are_counted_by_what_came_back_and_how_it_was_asked():
    made = certificate(EXACT, REWORDED, FAILED)
    assert (made.num_records, made.num_exact, made.num_exact_in_chat) == (3, 2, 1)
    assert not made.is_complete
    assert certificate(EXACT, REWORDED).is_complete


def test_the_smallest_margin_is_of_the_tokens_that_the_engine_tells_of():
    assert certificate(EXACT, REWORDED).min_logit_margin == 0.5
    assert certificate(FAILED).min_logit_margin is None


def test_a_bundle_has_one_for_each_engine_and_quantisation_and_the_last_stands(tmp_path):
    certificate(FAILED).save(tmp_path)
    certificate(EXACT, quantisation="F16").save(tmp_path)
    certificate(EXACT).save(tmp_path)
    (tmp_path / "certificate.json").write_text("the bundle's own, another kind of file")
    assert EngineCertificate.of_bundle(tmp_path) == [certificate(EXACT, quantisation="F16"), certificate(EXACT)]


def test_a_damaged_one_is_told(tmp_path):
    path = certificate(EXACT).save(tmp_path)
    content = json.loads(path.read_text())
    del content["numerics"]
    path.write_text(json.dumps(content))
    with pytest.raises(ArtifactError, match=r"is not a whole engine certificate \(1 flaws\); remove it"):
        EngineCertificate.of_bundle(tmp_path)


@pytest.mark.parametrize("wrong", [{"verdict": "failed"}, {"p": (0.9,)}])
def test_a_record_that_contradicts_itself_is_refused(wrong):
    with pytest.raises(ValidationError):
        EngineRecord(**{**EXACT.model_dump(), **wrong})
