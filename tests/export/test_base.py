import pytest
import torch

from byheart.errors import BundleError
from byheart.export.base import base_config, refuse_other_base
from byheart.export.manifest import Manifest

BASE = {
    "name": "owner/model",
    "architecture": "LlamaForCausalLM",
    "revision": "abc",
    "weights_sha256": None,
    "dtype": "float32",
    "device": "cuda",
    "attention": "sdpa",
}
MODEL = {"name": "owner/model", "device": "cuda", "trust_remote_code": True}


def manifest(**changed: object) -> Manifest:
    base = {**BASE, **changed}
    return Manifest.model_construct(settings={"model": {**MODEL, "revision": "main"}}, base=base)


@pytest.mark.parametrize("elsewhere", [None, "other/place"])
def test_a_bundle_cannot_ask_for_remote_code_nor_for_a_device(elsewhere):
    config = base_config(manifest(), elsewhere)
    assert not config.trust_remote_code
    assert config.device == "auto"
    assert (config.dtype, config.attention) == ("float32", "sdpa")


def test_the_revision_is_the_one_measured_but_for_another_place():
    assert (base_config(manifest()).name, base_config(manifest()).revision) == ("owner/model", "abc")
    other = base_config(manifest(), "other/place")
    assert (other.name, other.revision) == ("other/place", None)


def test_attention_falls_back_where_this_machine_lacks_it(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert base_config(manifest(attention="flash_attention_2")).attention == "auto"
    assert base_config(manifest(attention="eager")).attention == "eager"


def test_what_cannot_be_told_apart_is_said(tiny_base):
    with pytest.raises(BundleError, match="cannot be told apart from 'owner/model'"):
        refuse_other_base(manifest(), tiny_base)
    with pytest.raises(BundleError, match="has other weights than 'owner/model'"):
        refuse_other_base(manifest(weights_sha256="0" * 64), tiny_base)
