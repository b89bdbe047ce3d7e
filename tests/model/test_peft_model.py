"""Adapters as stock PEFT makes them, held against PEFT's own model."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from peft import AdaLoraConfig, IA3Config, LoHaConfig, LoraConfig, PeftModel, PromptTuningConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from byheart.errors import BundleError
from byheart.model.base import Base, load
from byheart.model.config import ModelConfig
from byheart.model.peft_model import peft_loaded, tokenizer_beside
from models_for_tests import close, random_tokens

pytestmark = pytest.mark.filterwarnings("ignore")  # what PEFT warns of here is its own
DOWN = r"model\.layers\.\d+\.mlp\.down_proj"
VARIANTS = {
    "plain": LoraConfig(r=3, lora_alpha=5),
    "regex": LoraConfig(r=2, target_modules=DOWN, bias="lora_only", lora_bias=True),
    "rank-stabilised": LoraConfig(r=4, lora_alpha=6, use_rslora=True, target_modules="all-linear"),
    "weight-decomposed": LoraConfig(r=2, use_dora=True, target_modules=["q_proj", "up_proj"]),
    "patterned": LoraConfig(
        r=2, rank_pattern={"q_proj": 4}, alpha_pattern={"v_proj": 9}, target_modules=["q_proj", "v_proj"]
    ),
    "one layer": LoraConfig(r=2, layers_to_transform=[1], target_modules=["down_proj"]),
    "saved modules": LoraConfig(r=2, target_modules=["q_proj"], modules_to_save=["norm"]),
    "pissa": LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights="pissa"),
    "adalora": AdaLoraConfig(init_r=3, target_r=2, target_modules=["q_proj"], total_step=10),
    "loha": LoHaConfig(r=2, target_modules=["q_proj", "down_proj"]),
    "ia3": IA3Config(target_modules=["k_proj", "down_proj"], feedforward_modules=["down_proj"]),
}


@pytest.fixture(scope="module")
def base(tiny_model_directory) -> Base:
    return load(ModelConfig(name=str(tiny_model_directory), dtype="float32", device="cpu"))


def saved(model_directory: Path, config, out: Path) -> Path:
    """A random adapter, saved by PEFT."""
    config.task_type = "CAUSAL_LM"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = get_peft_model(AutoModelForCausalLM.from_pretrained(model_directory), config)
        with torch.no_grad():
            for weight in model.parameters():
                if weight.requires_grad:
                    weight.add_(0.1 * torch.randn_like(weight))
    model.save_pretrained(out)
    return out


def logits(model) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=random_tokens(2, 12), use_cache=False).logits


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_is_what_peft_makes_of_it_and_is_taken_out_again(variant, base, tiny_model_directory, tmp_path):
    directory = saved(tiny_model_directory, VARIANTS[variant], tmp_path / "adapter")
    whole = AutoModelForCausalLM.from_pretrained(tiny_model_directory)
    expected = logits(PeftModel.from_pretrained(whole, str(directory)).eval())
    before, weights = logits(base.model), {name: w.clone() for name, w in base.model.named_parameters()}
    for _ in range(2):
        with peft_loaded(base, directory):
            assert close(logits(base.model), expected)
    assert not close(expected, before, 1e-3)
    assert torch.equal(logits(base.model), before)
    now = dict(base.model.named_parameters())
    assert now.keys() == weights.keys()
    assert all(torch.equal(now[name], weight) for name, weight in weights.items())
    assert not any(weight.requires_grad for weight in now.values())


def changed(directory: Path, change) -> None:
    path = directory / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))


def test_virtual_tokens_are_refused(base, tiny_model_directory, tmp_path):
    directory = saved(tiny_model_directory, PromptTuningConfig(num_virtual_tokens=2), tmp_path / "adapter")
    with (
        pytest.raises(BundleError, match="of the kind PROMPT_TUNING, which acts outside"),
        peft_loaded(base, directory),
    ):
        pass


@pytest.fixture
def plain(tiny_model_directory, tmp_path) -> Path:
    return saved(tiny_model_directory, LoraConfig(r=2, target_modules=["q_proj"]), tmp_path / "adapter")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"alora_invocation_tokens": [1, 2]}, "is an activated LoRA"),
        ({"megatron_config": {"a": 1}, "megatron_core": "this"}, "names Megatron modules to import"),
    ],
)
def test_what_works_now_and_then_or_imports_modules_is_refused(base, plain, change, told):
    changed(plain, change)
    with pytest.raises(BundleError, match=told), peft_loaded(base, plain):
        pass


@pytest.mark.parametrize("change", ["missing", "left over"])
def test_weights_that_do_not_all_fit_are_refused_and_leave_the_base_alone(base, plain, change):
    path, before = plain / "adapter_model.safetensors", logits(base.model)
    tensors = load_file(path)
    name = sorted(tensors)[0]
    tensor = tensors[name] if change == "left over" else tensors.pop(name)
    if change == "left over":
        tensors[name.replace("q_proj", "k_proj")] = tensor.clone()
    save_file(tensors, path, {"format": "pt"})
    with pytest.raises(BundleError, match=r"weights without a place .*layers\.0\.self_attn"), peft_loaded(base, plain):
        pass
    assert torch.equal(logits(base.model), before)
    assert not any("lora" in name for name, _ in base.model.named_modules())


def test_modules_of_another_model_are_told(base, plain):
    changed(plain, {"target_modules": ["c_attn"]})
    with pytest.raises(BundleError, match=r"PEFT cannot load .* onto .*c_attn"), peft_loaded(base, plain):
        pass
    assert logits(base.model).isfinite().all()


def test_a_kind_that_peft_does_not_know_is_told(base, plain):
    changed(plain, {"peft_type": "TELEPATHY"})
    with pytest.raises(BundleError, match="PEFT cannot read"), peft_loaded(base, plain):
        pass


def test_an_error_within_leaves_the_base_as_it_was(base, plain):
    before = logits(base.model)
    with pytest.raises(KeyError), peft_loaded(base, plain):
        raise KeyError
    assert torch.equal(logits(base.model), before)


def test_the_tokenizer_beside_an_adapter_is_read_without_a_model(tiny_model_directory, plain):
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tiny_model_directory / name, plain)
    assert tokenizer_beside(plain).encode("abc")
    (plain / "tokenizer.json").write_text("{}")
    with pytest.raises(BundleError, match="cannot load the tokenizer beside the adapter"):
        tokenizer_beside(plain)
