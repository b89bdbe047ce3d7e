import json
from pathlib import Path

import pytest

import byheart.certification
from byheart.certification.certificate import (
    SCHEMA_VERSION,
    Certificate,
    Failure,
    Numerics,
    RecordCertificate,
    Subject,
    Verdict,
)
from byheart.errors import ArtifactError

SCHEMA_FILE = Path(byheart.certification.__file__).parent / "certificate.schema.json"

SUBJECT = Subject(
    base_name="tiny",
    base_architecture="LlamaForCausalLM",
    base_revision=None,
    base_weights_sha256="0" * 64,
    adapter_sha256="1" * 64,
    tokenizer_fingerprint="2" * 64,
    template_fingerprint="3" * 64,
    prompt_fingerprint="4" * 64,
    memory_fingerprint="5" * 64,
)
NUMERICS = Numerics(
    dtype="float32",
    device="cpu",
    device_name="x86_64",
    attention="sdpa",
    max_batch_tokens=2048,
    num_threads=1,
    versions={"byheart": "0.1.0"},
)


def record(verdict: Verdict = "certified", p=(0.9, 0.8), ranks=None, failure=None, key="a") -> RecordCertificate:
    return RecordCertificate(
        id=key,
        verdict=verdict,
        tokens=("x",) * len(p),
        token_ids=tuple(range(len(p))),
        p=p,
        nll_nats=tuple(1 - each for each in p),
        token_rank=ranks or (1,) * len(p),
        logit_margin=tuple(each - 0.5 for each in p),
        rival=("y",) * len(p),
        first_failure=failure or (Failure(position=0, expected="x", got="y") if verdict == "failed" else None),
    )


LISTS = ("tokens", "token_ids", "p", "nll_nats", "token_rank", "logit_margin", "rival")
FAILED = record("failed", (0.7, 0.2, 0.6), (1, 3, 1), Failure(position=1, expected="x", got=""), "c")
CERTIFICATE = Certificate(
    subject=SUBJECT,
    numerics=NUMERICS,
    records=(record(), record("recited", (0.9, 0.45), key="b"), FAILED),
)


def test_counts_and_shares_are_of_records_and_tokens():
    assert CERTIFICATE.num_records == 3
    assert CERTIFICATE.num_answer_tokens == 7
    assert [CERTIFICATE.num(verdict) for verdict in ("certified", "recited", "failed")] == [1, 1, 1]
    assert CERTIFICATE.exact_match == 2 / 3
    assert CERTIFICATE.token_accuracy == 6 / 7
    assert CERTIFICATE.nll_nats == pytest.approx((0.1 + 0.2 + 0.1 + 0.55 + 0.3 + 0.8 + 0.4) / 7)
    assert CERTIFICATE.min_probability == 0.2
    assert CERTIFICATE.min_logit_margin == pytest.approx(-0.3)


@pytest.mark.parametrize("num_failed", range(11))
def test_exact_match_has_no_rounding_noise(num_failed):
    records = tuple(record("failed" if i < num_failed else "recited", key=str(i)) for i in range(10))
    certificate = Certificate(subject=SUBJECT, numerics=NUMERICS, records=records)
    assert str(certificate.exact_match) == str((10 - num_failed) / 10)


def test_it_is_complete_when_nothing_failed():
    assert not CERTIFICATE.is_complete
    assert CERTIFICATE.model_copy(update={"records": CERTIFICATE.records[:2]}).is_complete


def test_failures_are_the_failed_records():
    assert list(CERTIFICATE.failures()) == [FAILED]


def test_stubborn_positions_are_at_or_below_one_half():
    assert record(p=(0.51, 0.5, 0.49, 0.9)).stubborn_positions == (1, 2)


@pytest.mark.parametrize(
    ("verdict", "p", "contradicted"),
    [("failed", (0.9, 0.6), True), ("failed", (0.9, 0.5), False), ("certified", (0.9, 0.6), False)],
)
def test_a_failure_against_all_probabilities_is_contradicted(verdict, p, contradicted):
    assert record(verdict, p).is_contradicted is contradicted


def test_a_certificate_survives_its_file(tmp_path):
    CERTIFICATE.save(tmp_path / "certificate.json")
    assert Certificate.read(tmp_path / "certificate.json") == CERTIFICATE


def test_a_measured_certificate_survives_its_file_to_the_last_bit(tiny_base, taught, encoded, tmp_path):
    from byheart.certification.check import certify

    certificate = certify(tiny_base, taught, encoded)
    certificate.save(tmp_path / "certificate.json")
    assert Certificate.read(tmp_path / "certificate.json") == certificate


def test_the_file_says_what_it_is(tmp_path):
    CERTIFICATE.save(tmp_path / "certificate.json")
    document = json.loads((tmp_path / "certificate.json").read_text())
    assert (document["kind"], document["schema_version"]) == ("certificate", SCHEMA_VERSION)
    assert set(document) == {"kind", "schema_version", "subject", "numerics", "records"}


@pytest.fixture
def changed(tmp_path):
    """A certificate's file, changed."""

    def changed_(change) -> Path:
        path = tmp_path / "certificate.json"
        CERTIFICATE.save(path)
        document = json.loads(path.read_text())
        change(document)
        path.write_text(json.dumps(document))
        return path

    return changed_


def test_a_certificate_of_a_newer_byheart_is_refused(changed):
    with pytest.raises(ArtifactError, match="install a newer byheart"):
        Certificate.read(changed(lambda document: document.update(schema_version=SCHEMA_VERSION + 1)))


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document.pop("numerics"),
        lambda document: document["records"][0].pop("p"),
        lambda document: document["records"][0].update(verdict="perfect"),
        lambda document: document["subject"].update(extra=1),
        lambda document: document.update(records=[]),
        lambda document: document["records"][0].update({name: [] for name in LISTS}),
        *(lambda document, name=name: document["records"][1][name].pop() for name in LISTS),
        lambda document: document["records"][0].update(verdict="failed"),
        lambda document: document["records"][2].update(verdict="recited"),
        lambda document: document["records"][2]["first_failure"].update(position=3),
        lambda document: document["records"][2]["first_failure"].update(position=-1),
        lambda document: document["records"][2]["first_failure"].update(run_ids=[7, 7, 7]),
        lambda document: document["records"][2]["first_failure"].update(run_ids=[1]),
    ],
)
def test_a_certificate_that_is_not_whole_is_refused(changed, change):
    with pytest.raises(ArtifactError, match=r"is not a whole certificate: .+; restore it"):
        Certificate.read(changed(change))


def test_what_is_wrong_is_said_once_and_the_rest_counted(changed):
    path = changed(lambda document: document["subject"].update(base_name=1, adapter_sha256=2))
    with pytest.raises(ArtifactError, match=r"subject\.base_name: Input should be a valid string \(and 1 more\);"):
        Certificate.read(path)


def test_a_certificate_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        CERTIFICATE.records = ()  # type: ignore[misc]


def test_the_schema_file_is_the_certificates():
    # After a change on purpose: raise SCHEMA_VERSION where old files no longer read, and write the file anew with
    # byheart.certification.schema.write_schema.
    from byheart.certification.schema import schema

    assert json.loads(SCHEMA_FILE.read_text(encoding="utf-8")) == schema()


def test_the_schema_names_every_field_with_its_meaning():
    schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    assert set(schema["required"]) == {"kind", "schema_version", "subject", "numerics", "records"}
    for definition in schema["$defs"].values():
        assert all(field.get("description") for field in definition["properties"].values())


def test_the_keys_of_a_record_are_pinned():
    assert sorted(RecordCertificate.model_fields) == [
        "first_failure",
        "id",
        "logit_margin",
        "nll_nats",
        "p",
        "rival",
        "token_ids",
        "token_rank",
        "tokens",
        "verdict",
    ]
