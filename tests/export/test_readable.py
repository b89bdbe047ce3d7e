import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from byheart.errors import ArtifactError, BundleError
from byheart.export.readable import read_config, refuse_misread
from byheart.export.request import ENGINES, EXPORT_NAMES

PLAIN = {"r": 8, "lora_alpha": 8, "bias": "none", "rank_pattern": {}, "modules_to_save": None, "use_dora": False}


def refused(
    directory: Path,
    *,
    to: Any = "peft",
    is_bypass: bool = False,
    site: str = "model.layers.0.mlp.up_proj",
    **config: Any,
) -> None:
    (directory / "adapter_config.json").write_text(json.dumps(PLAIN | config))
    placement = {"is_bypass": is_bypass, "sites": [{"path": site}]}
    refuse_misread(SimpleNamespace(placement=placement), directory, to)  # type: ignore[arg-type] - all it reads of one


def test_an_adapter_of_one_rank_and_one_scale_is_let_through(tmp_path):
    refused(tmp_path)


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ("rank_pattern", {"down_proj": 4}),
        ("alpha_pattern", {"down_proj": 4}),
        ("use_dora", True),
        ("use_rslora", True),
        ("modules_to_save", ["lm_head"]),
        ("trainable_token_indices", [3]),
        ("lora_bias", True),
        ("layer_replication", [[0, 2]]),
        ("target_parameters", ["experts.down"]),
        ("alora_invocation_tokens", [5]),
        ("use_qalora", True),
    ],
)
def test_what_engines_leave_out_is_refused_by_name(tmp_path, entry, value):
    with pytest.raises(BundleError, match=rf"has {entry}: .* which is not read by vLLM and SGLang"):
        refused(tmp_path, **{entry: value})


def test_a_bypass_is_refused_before_its_missing_config_is_missed(tmp_path):
    placement = {"is_bypass": True, "sites": []}
    with pytest.raises(BundleError, match="mlp-bypass: a bypass around the MLP block is no LoRA"):
        refuse_misread(SimpleNamespace(placement=placement), tmp_path, "peft")  # type: ignore[arg-type] - all it reads of one


@pytest.mark.parametrize("site", ["lm_head", "model.embed_tokens"])
def test_head_and_embeddings_are_refused(tmp_path, site):
    with pytest.raises(BundleError, match=f"the adapter changes {site}"):
        refused(tmp_path, site=site)


def test_biases_are_refused(tmp_path):
    with pytest.raises(BundleError, match="bias: 'lora_only'"):
        refused(tmp_path, bias="lora_only")


@pytest.mark.parametrize("to", [name for name in EXPORT_NAMES if name != "merged"])
def test_weights_of_the_other_way_round_are_refused_by_name(tmp_path, to):
    with pytest.raises(BundleError, match=f"Conv1D modules .*have other names and shapes in {ENGINES[to]}"):
        refused(tmp_path, to=to, fan_in_fan_out=True)


def test_weights_of_the_other_way_round_can_be_merged(tmp_path):
    refused(tmp_path, to="merged", fan_in_fan_out=True)


def test_a_config_that_is_no_object_is_told(tmp_path):
    (tmp_path / "adapter_config.json").write_text("[1]")
    with pytest.raises(ArtifactError, match="holds a list, expected an object"):
        read_config(tmp_path)
