import copy
import json
from dataclasses import replace

import pytest
import torch

from byheart.certification.certificate import Certificate
from byheart.errors import BundleError
from byheart.export.merged import export
from byheart.export.merging import merged
from byheart.export.request import ExportRequest
from byheart.model.adapter import attached
from byheart.model.base import load
from byheart.model.config import ModelConfig
from byheart.progress import Silent
from models_for_tests import awake, gpt2, placed


def exported(directory, bundle):
    return export(bundle, ExportRequest.parse(directory, "merged"), Silent())


def test_the_saved_model_alone_gives_the_adapters_logits(own_bundle, tiny_encoded):
    directory, bundle = own_bundle
    done = exported(directory, bundle)
    alone = load(ModelConfig(name=str(done.path), dtype="float32", device="cpu"))
    tokens = torch.tensor([tiny_encoded.records[1].prompt_ids])
    with torch.no_grad(), attached(bundle.base.model, bundle.adapter):
        expected = bundle.base.model(tokens).logits
    with torch.no_grad():
        assert torch.allclose(alone.model(tokens).logits, expected, atol=1e-4)


def test_it_is_certified_anew_and_the_certificate_lies_beside_it(own_bundle):
    directory, bundle = own_bundle
    done = exported(directory, bundle)
    assert done.is_exact
    saved = Certificate.read(done.path / "certificate.json")
    assert saved == done.certificate
    assert saved.subject.base_name == "merged"
    assert saved.subject.base_weights_sha256 != bundle.certificate.subject.base_weights_sha256
    assert saved.subject.adapter_sha256 == bundle.certificate.subject.adapter_sha256


def test_what_does_not_come_back_after_merging_is_not_called_certified(own_bundle):
    directory, bundle = own_bundle
    with torch.no_grad():  # a merge that loses the change, as rounding can
        for matrix in bundle.adapter.lora_B:
            matrix.zero_()
    done = exported(directory, bundle)
    assert not done.is_exact
    assert done.certificate is not None
    assert done.certificate.num("failed") == 4
    assert json.loads((done.path / "byheart-export.json").read_text())["to"] == "merged"


def test_the_base_is_as_it_was_afterwards_whatever_happens(own_bundle):
    _, bundle = own_bundle
    inside: dict[str, torch.Tensor] = {}
    before = {name: tensor.clone() for name, tensor in bundle.base.model.state_dict().items()}
    with pytest.raises(RuntimeError, match="stop"), merged(bundle.base.model, bundle.adapter):
        inside |= {name: tensor.clone() for name, tensor in bundle.base.model.state_dict().items()}
        raise RuntimeError("stop")
    changed = {name for name in before if not torch.equal(before[name], inside[name])}
    assert changed == {f"{site.path}.weight" for site in bundle.adapter.placement.sites}
    assert all(torch.equal(before[name], tensor) for name, tensor in bundle.base.model.state_dict().items())


def test_modules_whose_weights_are_in_by_out_are_merged_too():
    model = gpt2()
    adapter = awake(placed(model, layers="all"))
    tokens = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad(), attached(model, adapter):
        expected = model(tokens).logits
    with torch.no_grad(), merged(model, adapter):
        assert torch.allclose(model(tokens).logits, expected, atol=1e-4)


def test_a_tokenizer_that_is_another_once_saved_is_refused(own_bundle, monkeypatch):
    directory, bundle = own_bundle
    other = copy.deepcopy(bundle.base.tokenizer)
    other.chat_template = other.chat_template.replace("assistant", "Assistant")
    monkeypatch.setattr("byheart.export.merged.load", lambda config: replace(load(config), tokenizer=other))
    with pytest.raises(BundleError, match="other token ids than those that were certified"):
        exported(directory, bundle)
    assert not (directory / "merged").exists()


def test_a_weight_that_two_sites_share_is_put_back_too():
    model = gpt2()
    adapter = awake(placed(model, layers="all"))
    last_name = adapter.placement.sites[0].path.rpartition(".")[2]
    alike = [site.path for site in adapter.placement.sites if site.path.endswith(last_name)]
    one, two = (model.get_submodule(path) for path in alike[:2])
    two.weight = one.weight
    before = one.weight.detach().clone()
    with merged(model, adapter):
        assert not torch.equal(one.weight, before)
    assert torch.equal(one.weight, before)
