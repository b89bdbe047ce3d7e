import json
import subprocess
import sys
import warnings
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from byheart.certification.recite import greedy
from byheart.errors import ArtifactError, BundleError
from byheart.export.bundle import Bundle
from byheart.export.peft import read_adapter, write_adapter
from byheart.memory.encode import encode
from byheart.memory.records import Memory
from byheart.model.adapter import attached
from byheart.model.base import load
from byheart.model.config import ModelConfig
from byheart.pipeline import learn
from conftest import PAIRS
from models_for_tests import awake, close, gpt2, placed, random_tokens, small, talking

VARIANTS = {
    "fp32": {"dtype": "float32", "layers": "all", "modules": "all-linear", "lora_alpha": None, "epochs": 60},
    "bf16": {"dtype": "bfloat16", "layers": "all", "modules": "all-linear", "lora_alpha": None, "epochs": 60},
    "one layer's down_proj": {
        "dtype": "float32",
        "layers": "0",
        "modules": "down_proj",
        "lora_alpha": None,
        "epochs": 3,
    },
    "attention, scaled": {
        "dtype": "float32",
        "layers": "top:1",
        "modules": "attention",
        "lora_alpha": 12.0,
        "epochs": 3,
    },
    "gpt2": {
        "model": "gpt2",
        "dtype": "float32",
        "layers": "all",
        "modules": "all-linear",
        "lora_alpha": None,
        "epochs": 60,
    },
    "gpt2's mlp": {
        "model": "gpt2",
        "dtype": "float32",
        "layers": "all",
        "modules": "mlp",
        "lora_alpha": None,
        "epochs": 3,
    },
    "a mixture's attention": {
        "model": "mixtral",
        "dtype": "float32",
        "layers": "top:1",
        "modules": "attention",
        "lora_alpha": None,
        "epochs": 3,
    },
}
NOISE = {"float32": 1e-5, "bfloat16": 2e-2}


@dataclass
class Variant:
    """A bundle, and what stock PEFT made of its directory in another process."""

    directory: Path
    bundle: Bundle
    dtype: str
    peft: dict[str, Any]


@pytest.fixture(scope="module")
def directories(tiny_model_directory, tmp_path_factory) -> dict[str, Path]:
    """The models as transformers saves them."""
    models = {"gpt2": talking(gpt2), "mixtral": talking(partial(small, "mixtral"))}
    directories = {name: tmp_path_factory.mktemp(name) for name in models}
    for name, base in models.items():
        base.model.save_pretrained(directories[name])
        base.tokenizer.save_pretrained(directories[name])
    return {"llama": tiny_model_directory, **directories}


@pytest.fixture(scope="module")
def variants(directories, tmp_path_factory) -> dict[str, Variant]:
    made, questions = {}, []
    for name, settings in VARIANTS.items():
        model_directory = str(directories[settings.get("model", "llama")])
        directory = tmp_path_factory.mktemp("bundle")
        bundle = learn(
            Memory.from_pairs(PAIRS),
            model_directory,
            out=directory,
            lora_rank=8,
            layers=settings["layers"],
            modules=settings["modules"],
            config={
                "model": {"dtype": settings["dtype"], "device": "cpu"},
                "placement": {"lora_alpha": settings["lora_alpha"]},
                "learn": {"epochs": settings["epochs"], "learning_rate": 0.02, "batch_size": 2},
            },
        )
        prompts = [record.prompt_ids for record in encode(bundle.memory, bundle.base.tokenizer).records]
        question = {"base": model_directory, "adapter": str(directory), "dtype": settings["dtype"]}
        questions.append({**question, "prompts": prompts, "num_new": 30})
        made[name] = (directory, bundle, settings["dtype"])
    work = tmp_path_factory.mktemp("peft")
    (work / "questions.json").write_text(json.dumps(questions))
    script = Path(__file__).with_name("peft_alone.py")
    command = [sys.executable, str(script), str(work / "questions.json"), str(work / "answers.json")]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert ran.returncode == 0, ran.stderr
    answers = json.loads((work / "answers.json").read_text())
    return {name: Variant(*made[name], peft=answer) for name, answer in zip(made, answers, strict=True)}


@pytest.fixture(params=VARIANTS)
def variant(variants, request) -> Variant:
    return variants[request.param]


def prompt_ids(variant: Variant) -> list[tuple[int, ...]]:
    return [record.prompt_ids for record in encode(variant.bundle.memory, variant.bundle.base.tokenizer).records]


def test_stock_peft_gives_the_same_greedy_answers(variant):
    base = variant.bundle.base
    end = base.tokenizer.eos_token_id  # where generate stops by itself
    with attached(base.model, variant.bundle.adapter):
        ours = [greedy(base, [prompt], 30, end, 0)[0] for prompt in prompt_ids(variant)]
    memory = encode(variant.bundle.memory, base.tokenizer)
    # After a learnt answer's end nothing is certain, and in 16 bits nothing is sure.
    sure = [30 if variant.dtype == "float32" else len(record.answer_ids) for record in memory.records]
    theirs = variant.peft["continuations"]
    assert [ids[:num] for ids, num in zip(theirs, sure, strict=True)] == [
        ids[:num] for ids, num in zip(ours, sure, strict=True)
    ]


def test_stock_peft_gives_the_same_logits_within_the_dtypes_noise(variant):
    model = variant.bundle.base.model
    with attached(model, variant.bundle.adapter), torch.no_grad():
        ours = [model(input_ids=torch.tensor([prompt])).logits[0, -1].float() for prompt in prompt_ids(variant)]
    assert close(torch.tensor(variant.peft["logits"]), torch.stack(ours), NOISE[variant.dtype])


def test_the_adapter_makes_a_difference_in_stock_peft(variant):
    model = variant.bundle.base.model
    with torch.no_grad():
        plain = [model(input_ids=torch.tensor([prompt])).logits[0, -1].float() for prompt in prompt_ids(variant)]
    assert not close(torch.tensor(variant.peft["logits"]), torch.stack(plain), 3 * NOISE[variant.dtype])


def test_stock_peft_has_nothing_to_warn_of(variant):
    assert variant.peft["warnings"] == []


@pytest.mark.parametrize("name", ["fp32", "bf16", "gpt2"])
def test_stock_peft_recites_what_was_learnt(variants, name):
    variant = variants[name]
    assert variant.bundle.certificate.is_complete
    tokenizer = variant.bundle.base.tokenizer
    memory = encode(variant.bundle.memory, tokenizer)
    for record, ids in zip(memory.records, variant.peft["continuations"], strict=True):
        assert ids[: len(record.answer_ids)] == list(record.answer_ids)


def test_the_config_is_what_serving_engines_take(variant):
    config = json.loads((variant.directory / "adapter_config.json").read_text())
    placement = variant.bundle.adapter.placement
    assert (config["peft_type"], config["task_type"]) == ("LORA", "CAUSAL_LM")
    assert (config["r"], config["lora_alpha"]) == (placement.lora_rank, placement.lora_alpha)
    assert config["bias"] == "none"
    assert config["base_model_name_or_path"] == variant.bundle.base.location
    assert not any(
        config[key] for key in ("rank_pattern", "alpha_pattern", "modules_to_save", "use_rslora", "use_dora")
    )
    assert "lm_head" not in config["target_modules"]


def test_the_weights_have_pefts_names_and_the_bases_dtype(variant):
    from safetensors.torch import load_file

    tensors = load_file(variant.directory / "adapter_model.safetensors")
    sites = [site.path for site in variant.bundle.adapter.placement.sites]
    expected = {f"base_model.model.{site}.{matrix}.weight" for site in sites for matrix in ("lora_A", "lora_B")}
    assert set(tensors) == expected
    assert {str(tensor.dtype).removeprefix("torch.") for tensor in tensors.values()} == {variant.dtype}


def test_a_bundle_that_was_read_is_saved_as_it_was(variant, tmp_path):
    Bundle.read(variant.directory, variant.bundle.base).save(tmp_path / "again")
    name = "adapter_config.json"
    assert (tmp_path / "again" / name).read_bytes() == (variant.directory / name).read_bytes()


def test_equal_adapters_give_equal_bytes(tiny_base, tmp_path):
    adapter = awake(placed(tiny_base.model))
    contents = []
    for name in ("first", "second"):
        names = write_adapter(tmp_path / name, adapter, torch.bfloat16, "base")
        contents.append({each: (tmp_path / name / each).read_bytes() for each in names})
    assert contents[0] == contents[1]


def test_an_adapter_survives_its_directory(tiny_base, tmp_path):
    adapter = awake(placed(tiny_base.model)).rounded(torch.bfloat16)
    write_adapter(tmp_path, adapter, torch.bfloat16, "base")
    again = read_adapter(tmp_path, adapter.placement, torch.device("cpu"))
    assert again.sha256(torch.float32) == adapter.sha256(torch.float32)
    assert not again.training


def test_a_bypass_writes_no_peft_config_and_none_of_pefts_names(tiny_base, tmp_path):
    adapter = awake(placed(tiny_base.model, modules="mlp-bypass"))
    names = write_adapter(tmp_path, adapter, torch.float32, "base")
    assert names == ["mlp_bypass.safetensors"]
    assert [path.name for path in tmp_path.iterdir()] == names
    again = read_adapter(tmp_path, adapter.placement, torch.device("cpu"))
    assert again.sha256(torch.float32) == adapter.sha256(torch.float32)


def test_weights_that_are_missing_or_damaged_are_told(tiny_base, tmp_path):
    placement = placed(tiny_base.model)
    with pytest.raises(ArtifactError, match="cannot read the adapter's weights"):
        read_adapter(tmp_path, placement, torch.device("cpu"))
    (tmp_path / "adapter_model.safetensors").write_bytes(b"x" * 99)
    with pytest.raises(ArtifactError, match="cannot read the adapter's weights"):
        read_adapter(tmp_path, placement, torch.device("cpu"))


@pytest.mark.parametrize("content", [None, "no json", "[]", "{}"])
def test_a_config_that_is_missing_or_damaged_is_told(tiny_base, tmp_path, content):
    adapter = awake(placed(tiny_base.model))
    write_adapter(tmp_path, adapter, torch.float32, "base")
    config = tmp_path / "adapter_config.json"
    config.unlink() if content is None else config.write_text(content)
    with pytest.raises(ArtifactError, match="cannot read the adapter's config"):
        read_adapter(tmp_path, adapter.placement, torch.device("cpu"))


def linear_and_conv1d():
    model = gpt2()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model.transformer.h[1].mlp.c_fc = nn.Linear(32, 128).requires_grad_(False)
    return model


@pytest.mark.parametrize("merged", [False, True])
@pytest.mark.parametrize("build", [gpt2, linear_and_conv1d])
def test_stock_peft_gives_the_same_logits_of_conv1d_alone_and_beside_linear(build, merged, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from peft import PeftModel
    model = build()
    adapter = awake(placed(model))
    write_adapter(tmp_path, adapter, torch.float32, "base")
    with attached(model, adapter), torch.no_grad():
        ours = model(input_ids=random_tokens(2, 9), use_cache=False).logits
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PEFT sets what is mixed right by itself, and says so
        theirs = PeftModel.from_pretrained(model, tmp_path)
        theirs = (theirs.merge_and_unload() if merged else theirs).eval()  # type: ignore[operator]
    with torch.no_grad():
        assert close(theirs(input_ids=random_tokens(2, 9), use_cache=False).logits, ours)


def test_weights_of_another_placement_are_told(tiny_base, tmp_path):
    write_adapter(tmp_path, awake(placed(tiny_base.model, "0")), torch.float32, "base")
    with pytest.raises(BundleError, match="do not fit its placement"):
        read_adapter(tmp_path, placed(tiny_base.model, "1"), torch.device("cpu"))


def test_a_float_alpha_is_kept(tiny_base, tmp_path):
    adapter = awake(placed(tiny_base.model, lora_alpha=2.5))
    write_adapter(tmp_path, adapter, torch.float32, "base")
    assert json.loads((tmp_path / "adapter_config.json").read_text())["lora_alpha"] == 2.5


def test_the_base_can_be_loaded_from_where_the_config_says(variants):
    config = json.loads((variants["fp32"].directory / "adapter_config.json").read_text())
    base = load(ModelConfig(name=config["base_model_name_or_path"], dtype="float32", device="cpu"))
    assert base.identity.weights_sha256 == variants["fp32"].bundle.base.identity.weights_sha256
