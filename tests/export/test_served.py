import json
import subprocess
import sys
from dataclasses import dataclass, field, fields
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from byheart.errors import BundleError
from byheart.export.request import ExportRequest
from byheart.export.served import RANKS, export, padded, padded_rank
from byheart.model.placement import Placement
from byheart.model.sites import Site
from byheart.progress import Silent
from models_for_tests import awake


@dataclass
class WhatVllmReads:
    """The fields of adapter_config.json that vLLM's loader takes; whatever else there is it leaves out in silence."""

    r: int
    lora_alpha: int
    target_modules: list[str] | str
    bias: str = field(default="none")
    modules_to_save: list[str] | None = field(default=None)
    use_rslora: bool = field(default=False)
    use_dora: bool = field(default=False)


CHANGES_NOTHING = {
    "peft_type": "LORA",
    "task_type": "CAUSAL_LM",
    "lora_dropout": 0.0,
    "fan_in_fan_out": False,
    "inference_mode": True,
}
"""Fields beside those, with the one value under which leaving them out changes no answer."""


@pytest.fixture(scope="module")
def written(learnt, tiny_base, tmp_path_factory) -> Path:
    from byheart.export.bundle import Bundle

    out = tmp_path_factory.mktemp("served") / "vault"
    export(Bundle.read(learnt, tiny_base), ExportRequest.parse(learnt, "peft", out=out), Silent())
    return out


def config_of(directory: Path) -> dict:
    return json.loads((directory / "adapter_config.json").read_text())


def test_vllm_loads_it_and_leaves_nothing_out(written):
    config = config_of(written)
    known = {each.name for each in fields(WhatVllmReads)}
    read = WhatVllmReads(**{name: value for name, value in config.items() if name in known})
    assert (read.r, read.lora_alpha / read.r) == (8, 1.0)
    assert read.r in RANKS
    assert (read.bias, read.modules_to_save, read.use_rslora, read.use_dora) == ("none", None, False, False)
    beside = {name: value for name, value in config.items() if name not in known}
    assert isinstance(beside.pop("base_model_name_or_path"), str)
    # Layers are what the tensors' names say; the field says the same to PEFT.
    layers = {int(name.split(".layers.")[1].split(".")[0]) for name in load_file(written / "adapter_model.safetensors")}
    assert layers == set(beside.pop("layers_to_transform"))
    assert beside == CHANGES_NOTHING


def test_its_tensors_have_the_names_that_vllm_parses(written):
    modules = set(config_of(written)["target_modules"])
    for name, tensor in load_file(written / "adapter_model.safetensors").items():
        parts = name.split(".")
        assert parts[:2] == ["base_model", "model"]
        assert parts[-1] == "weight"
        assert parts[-2] in ("lora_A", "lora_B")
        assert parts[-3] in modules
        assert tensor.shape[0 if parts[-2] == "lora_A" else 1] == 8


def test_the_padding_adds_nothing(written, learnt):
    small, large = (load_file(each / "adapter_model.safetensors") for each in (learnt, written))
    assert small.keys() == large.keys()
    for name in small:
        if ".lora_A." in name:
            other = name.replace(".lora_A.", ".lora_B.")
            assert torch.equal(small[other] @ small[name], large[other] @ large[name])


def test_stock_peft_recites_from_it(written, learnt, tiny_base, tiny_encoded, tmp_path):
    records = tiny_encoded.records
    question = {
        "base": tiny_base.location,
        "adapter": str(written),
        "dtype": "float32",
        "prompts": [record.prompt_ids for record in records],
        "num_new": max(len(record.answer_ids) for record in records),
    }
    (tmp_path / "questions.json").write_text(json.dumps([question]))
    script = Path(__file__).parent / "peft_alone.py"
    command = [sys.executable, str(script), str(tmp_path / "questions.json"), str(tmp_path / "answers.json")]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=250)
    assert ran.returncode == 0, ran.stderr
    [answers] = json.loads((tmp_path / "answers.json").read_text())
    for record, ids in zip(records, answers["continuations"], strict=True):
        assert ids[: len(record.answer_ids)] == list(record.answer_ids)


@given(lora_rank=st.integers(1, 512))
def test_a_rank_is_padded_to_the_next_that_engines_take(lora_rank):
    rank = padded_rank(lora_rank)
    assert rank in RANKS
    assert rank >= lora_rank
    assert not any(lora_rank <= other < rank for other in RANKS)


def test_a_rank_above_the_largest_is_refused():
    with pytest.raises(BundleError, match="lora_rank 513 is above 512"):
        padded_rank(513)


def test_a_scale_other_than_one_is_kept():
    from byheart.export.served import served_config

    placement = Placement((1,), (Site("model.layers.1.mlp.up_proj", 4, 6),), 3, 4.5)
    config = served_config(placement, 8, "somewhere")
    assert config["lora_alpha"] / config["r"] == placement.scale
    tensors = awake(placement).tensors(torch.float32)
    assert {tuple(tensor.shape) for tensor in padded(tensors, 8).values()} == {(8, 4), (6, 8)}
