import doctest
import json

from hypothesis import given
from hypothesis import strategies as st

from byheart.export.engine_certificate import EngineCertificate, EngineNumerics
from byheart.report import answers as module
from byheart.report import dynamics_blocks, provenance
from byheart.report.answers import answers, rounded
from byheart.report.blocks import Facts, Listing, Table
from byheart.report.bundle_page import bundle_page, sentence
from byheart.report.dynamics_blocks import bin_of
from byheart.report.html import data, html


@given(st.floats(0, 1, width=32) | st.floats(0.49999, 0.50001))
def test_rounding_keeps_a_probability_on_its_side_of_one_half(p):
    assert (rounded(p) > 0.5) == (p > 0.5)
    assert abs(rounded(p) - p) < 1e-5


@given(st.floats(0, 1))
def test_every_probability_has_its_bin_and_one_half_is_with_the_stubborn(p):
    index = bin_of(p)
    assert 0 <= index < dynamics_blocks.NUM_BINS
    assert (index < dynamics_blocks.NUM_BINS // 2) == (p <= 0.5)


def test_each_text_is_there_once(pages):
    certificate = pages.certificate_of(pages.measured(["a", "b", "a"], [0.9, 0.8, 0.2], rival="b"))
    block = answers(certificate, [pages.text("p", "a", "b", "a")], has_end=False)
    assert block.strings == ["a", "b"]
    [record] = block.records
    assert record["tokens"] == [0, 1, 0]
    assert record["rivals"] == [1, 1, 1]
    assert record["pieces"] == [["a", [0]], ["b", [1]], ["a", [2]]]


def test_without_texts_no_text_of_a_record_is_anywhere_in_the_file(pages):
    secret = ["zebra", "quagga", "okapi", "gnu", "eland", "kudu"]
    record = pages.measured(secret[:2], [0.9, 0.2], failure=1, rival=secret[2], got=secret[3], key=secret[4])
    files = pages.files_of(record, encode={"system_prompt": secret[5]})
    shown = html(bundle_page(files, [pages.text(secret[4], *secret[:2])])).decode()
    left_out = html(bundle_page(files, None)).decode()
    assert all(word in shown for word in secret)
    assert not [word for word in secret if word in left_out]
    assert '"p":[0.9,0.2]' in left_out
    assert "left out" in left_out


def test_the_sentence_tells_what_came_back(pages):
    sure = pages.measured(["a"], [0.9])
    assert sentence(pages.files_of(sure)) == (
        "1 of 1 records certified; lowest p 0.9; rank 8, 64 parameters, 1.2 bits each, on tiny."
    )
    told = sentence(pages.files_of(sure, pages.measured(["a"], [0.4]), pages.measured(["a"], [0.2], failure=0)))
    assert told.startswith("1 of 3 records certified, 1 recited, 1 failed; lowest p 0.2;")


def test_the_settings_that_differ_come_with_the_command(pages):
    files = pages.files_of(pages.measured(["a"], [0.9]), learn={"epochs": 7}, seed=3)
    blocks = bundle_page(files, None).sections[-1].blocks
    command, settings = (block for block in blocks if isinstance(block, Listing))
    assert command.text == "byheart learn records.jsonl --out again --config settings.yaml"
    assert settings.text == "learn:\n  epochs: 7\nseed: 3"
    [facts] = (block for block in blocks if isinstance(block, Facts))
    assert ("adapter, sha256", "1" * 64) in facts.rows


def test_defaults_need_no_settings(pages):
    blocks = bundle_page(pages.files_of(pages.measured(["a"], [0.9])), None).sections[-1].blocks
    [command] = (block for block in blocks if isinstance(block, Listing))
    assert command.text == "byheart learn records.jsonl --out again"


def test_other_engines_stand_in_a_table(pages):
    files = pages.files_of(pages.measured(["a"], [0.9]))
    numerics = EngineNumerics(
        engine="llama.cpp",
        version="1",
        base_file="x.gguf",
        base_sha256="0",
        quantisation="Q4_1",
        adapter_file_sha256="0",
        num_threads=1,
    )
    engine = EngineCertificate.model_construct(
        numerics=numerics, adapter_sha256="1" * 64, memory_fingerprint="5" * 64, records=()
    )
    object.__setattr__(files, "engines", [engine])
    page = bundle_page(files, None)
    [table] = (block for section in page.sections for block in section.blocks if isinstance(block, Table))
    assert table.rows == [("llama.cpp", "1", "x.gguf", "Q4_1", "0 of 0", "0 of 0", True)]


def test_a_page_is_the_same_for_the_same_bundle(pages):
    files = pages.files_of(pages.measured(["a"], [0.9]))
    assert html(bundle_page(files, None)) == html(bundle_page(files, None))
    assert json.loads(data(bundle_page(files, None)))["title"] == "vault"


def test_the_examples_in_the_modules():
    assert all(doctest.testmod(each).failed == 0 for each in (module, dynamics_blocks, provenance))
