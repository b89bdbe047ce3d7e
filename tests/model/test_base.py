import contextlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import (
    AutoTokenizer,
    BloomConfig,
    BloomForCausalLM,
    GPTJConfig,
    GPTJForCausalLM,
    GptOssConfig,
    GptOssForCausalLM,
)

from byheart.errors import ModelError
from byheart.model.base import BaseIdentity, as_current, decoder_layers, load
from byheart.model.catalog import MARKER
from byheart.model.config import ModelConfig
from models_for_tests import small


def loaded(directory: Path, **settings):
    return load(ModelConfig(**{"name": str(directory), "dtype": "float32", "device": "cpu", **settings}))


@pytest.fixture
def own_directory(tiny_model_directory, tmp_path) -> Path:
    """A copy that a test may change."""
    return shutil.copytree(tiny_model_directory, tmp_path / "model")


def test_the_base_is_frozen_and_in_eval_mode(tiny_model_directory):
    base = loaded(tiny_model_directory)
    assert not base.model.training
    assert not any(parameter.requires_grad for parameter in base.model.parameters())


def test_threads_are_no_more_than_the_process_has_cores(tiny_model_directory, monkeypatch):
    num_threads = torch.get_num_threads()
    try:
        torch.set_num_threads(4)
        monkeypatch.setattr("byheart.model.base.num_cores", lambda: 3)
        load(ModelConfig(name=str(tiny_model_directory)))
        assert torch.get_num_threads() == 3
        torch.set_num_threads(1)
        load(ModelConfig(name=str(tiny_model_directory)))
        assert torch.get_num_threads() == 1, "fewer than it could have are kept"
    finally:
        torch.set_num_threads(num_threads)


@pytest.mark.parametrize(("said", "kept"), [(None, "256"), ("64", "64")])
def test_few_compiled_kernels_are_kept_unless_the_environment_says_otherwise(
    tiny_model_directory, monkeypatch, said, kept
):
    monkeypatch.setenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY", said or "")
    if said is None:
        monkeypatch.delenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY")
    load(ModelConfig(name=str(tiny_model_directory)))
    assert os.environ["ONEDNN_PRIMITIVE_CACHE_CAPACITY"] == kept


def test_the_identity_says_what_was_loaded_and_how(tiny_model_directory):
    base = loaded(tiny_model_directory, dtype="bfloat16", attention="eager")
    assert (base.dtype, base.device.type) == (torch.bfloat16, "cpu")
    identity = base.identity.to_dict()
    assert len(identity.pop("weights_sha256") or "") == 64
    assert identity == {
        "name": str(tiny_model_directory),
        "architecture": "LlamaForCausalLM",
        "revision": None,
        "dtype": "bfloat16",
        "device": "cpu",
        "attention": "eager",
    }


def test_the_location_is_the_absolute_directory(tiny_model_directory, monkeypatch):
    monkeypatch.chdir(tiny_model_directory.parent)
    assert loaded(Path(tiny_model_directory.name)).location == str(tiny_model_directory.resolve())


def test_the_context_is_the_models(tiny_model_directory):
    assert loaded(tiny_model_directory).max_tokens == 512


def test_the_weights_hash_is_of_the_weights_and_not_of_the_numerics(tiny_model_directory, own_directory):
    hashes = {loaded(tiny_model_directory, dtype=dtype).identity.weights_sha256 for dtype in ("float32", "bfloat16")}
    assert hashes == {loaded(own_directory).identity.weights_sha256}


def test_the_weights_hash_sees_one_weight_change(tiny_model_directory, own_directory):
    path = own_directory / "model.safetensors"
    tensors = load_file(path)
    tensors["model.norm.weight"][3] += 1e-3
    save_file(tensors, path, {"format": "pt"})
    first, second = loaded(tiny_model_directory).identity, loaded(own_directory).identity
    assert not first.same_weights(second)


def named(name: str, revision: str | None, weights_sha256: str | None) -> BaseIdentity:
    return BaseIdentity(name, "LlamaForCausalLM", revision, weights_sha256, "float32", "cpu", "sdpa")


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        (("a", None, "1"), ("b", None, "1"), True),
        (("a", None, "1"), ("a", None, "2"), False),
        (("a", "r1", None), ("a", "r1", None), True),
        (("a", "r1", None), ("a", "r2", None), False),
        (("a", None, "1"), ("a", "r1", None), False),
    ],
)
def test_the_same_weights_are_told_by_hash_or_else_by_name_and_revision(first, second, same):
    assert named(*first).same_weights(named(*second)) is same


@pytest.mark.parametrize(("fast", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_auto_takes_bfloat16_where_the_processor_is_fast_at_it(tiny_model_directory, monkeypatch, fast, dtype):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: fast)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: fast)
    assert loaded(tiny_model_directory, dtype="auto").dtype == dtype


def test_an_unknown_device_is_told_with_the_set(tiny_model_directory):
    with pytest.raises(ModelError, match="unknown device 'tpu9'; use auto, cpu, mps, cuda or cuda:N"):
        loaded(tiny_model_directory, device="tpu9")


def test_a_device_that_is_not_here_is_told(tiny_model_directory, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(ModelError, match="no device 'cuda'"):
        loaded(tiny_model_directory, device="cuda")


@pytest.fixture
def cards(monkeypatch) -> list[str]:
    """The card that is current, last, as `torch.cuda.device` would make it."""
    current = ["cuda:0"]

    @contextlib.contextmanager
    def device(card):
        current.append(str(card))
        yield
        current.pop()

    monkeypatch.setattr(torch.cuda, "device", device)
    return current


def test_a_card_is_the_current_one_where_it_is_asked_for_its_dtype(tiny_model_directory, monkeypatch, cards):
    def is_bf16_supported(including_emulation):
        raise RuntimeError(f"asked of {cards[-1]}")

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", is_bf16_supported)
    with pytest.raises(RuntimeError, match="asked of cuda:1"):
        loaded(tiny_model_directory, device="cuda:1", dtype="auto")


def test_a_card_is_the_current_one_for_the_length_of_a_block_and_what_is_no_card_never(cards):
    with as_current(torch.device("cuda:1")):
        assert cards[-1] == "cuda:1"
        with as_current(torch.device("cpu")):
            assert cards[-1] == "cuda:1"
    assert cards == ["cuda:0"]


def test_an_unknown_model_is_told_with_the_short_names():
    with pytest.raises(ModelError, match=r"unknown model 'smolm2-135m' \(did you mean 'smollm2-135m'\?\)"):
        load(ModelConfig(name="smolm2-135m"))


def test_pickled_weights_are_refused(own_directory):
    path = own_directory / "model.safetensors"
    torch.save(load_file(path), own_directory / "pytorch_model.bin")
    path.unlink()
    with pytest.raises(ModelError, match="cannot load model"):
        loaded(own_directory)


def test_damaged_weights_are_told(own_directory):
    path = own_directory / "model.safetensors"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ModelError, match="cannot load model"):
        loaded(own_directory)


def test_a_directory_without_a_tokenizer_is_told(own_directory):
    for path in own_directory.glob("*token*"):
        path.unlink()
    with pytest.raises(ModelError, match="cannot load model"):
        loaded(own_directory)


def test_code_that_comes_with_a_model_is_not_run(own_directory):
    config = (own_directory / "config.json").read_text()
    mark = own_directory / "ran"
    code = {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnModel"}
    (own_directory / "own.py").write_text(f"open({str(mark)!r}, 'w')\n")
    changed = config.replace('"model_type": "llama"', f'"model_type": "own", "auto_map": {code}'.replace("'", '"'))
    (own_directory / "config.json").write_text(changed)
    with pytest.raises(ModelError):
        loaded(own_directory)
    assert not mark.exists()


def test_the_list_of_layers_is_the_one_of_the_configs_length():
    model = small("llama")
    model.model.other = nn.ModuleList([nn.Linear(2, 2)])
    decoder, name = decoder_layers(model)
    assert (decoder, name) == (model.model, "layers")


def test_a_model_without_a_list_of_its_layers_is_refused():
    model = small("llama")
    model.config.num_hidden_layers = 7
    with pytest.raises(ModelError, match="no list of 7 layers"):
        decoder_layers(model)


def test_a_model_of_several_parts_is_refused():
    model = small("llama")
    del model.config.num_hidden_layers
    with pytest.raises(ModelError, match="decoder-only text model"):
        decoder_layers(model)


@pytest.mark.parametrize(("key", "value", "same"), [("rms_norm_eps", 0.5, False), ("use_cache", False, True)])
def test_the_weights_hash_sees_the_architectures_settings_and_no_others(
    tiny_model_directory, own_directory, key, value, same
):
    path = own_directory / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    first, second = loaded(tiny_model_directory).identity, loaded(own_directory).identity
    assert first.same_weights(second) is same


def test_a_converted_model_is_what_it_was_made_of(own_directory):
    def identity(**changed):
        head = {"kind": "converted model", "schema_version": 1}
        marker = {**head, "name": "n", "gguf_sha256": "1", "converter_version": 1, **changed}
        (own_directory / MARKER).write_text(json.dumps(marker))
        return loaded(own_directory).identity

    first = identity()
    tensors = load_file(own_directory / "model.safetensors")
    save_file(tensors, own_directory / "model.safetensors", {"format": "pt", "written_by": "another version"})
    assert identity().same_weights(first)
    assert not identity(gguf_sha256="2").same_weights(first)
    assert not identity(converter_version=2).same_weights(first)


def test_a_hub_model_in_the_cache_and_its_local_copy_are_the_same(tiny_model_directory, tmp_path):
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "hub" / "models--owner--tiny"
    shutil.copytree(tiny_model_directory, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    program = (
        "import json\n"
        "from byheart.model.base import load\n"
        "from byheart.model.config import ModelConfig\n"
        "base = load(ModelConfig(name='owner/tiny', dtype='float32', device='cpu'))\n"
        "print(json.dumps(base.identity.to_dict()))\n"
    )
    environment = {**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_CACHE": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    hub = BaseIdentity(**json.loads(done.stdout))
    assert hub.revision == commit
    assert hub.same_weights(loaded(tiny_model_directory).identity)


def saved(model, tokenizer_directory, directory) -> Path:
    model.save_pretrained(directory)
    for path in tokenizer_directory.glob("*token*"):
        shutil.copy(path, directory)
    return directory


def bloom():
    return BloomForCausalLM(BloomConfig(vocab_size=300, hidden_size=32, n_layer=2, n_head=4))


def gptj():
    return GPTJForCausalLM(GPTJConfig(vocab_size=300, n_embd=32, n_layer=2, n_head=4, rotary_dim=4, n_positions=64))


def gpt_oss():
    sizes: dict[str, Any] = {
        "vocab_size": 300,
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "head_dim": 8,
    }
    heads: dict[str, Any] = {
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "num_local_experts": 2,
        "num_experts_per_tok": 1,
    }
    return GptOssForCausalLM(GptOssConfig(**sizes, **heads))


@pytest.mark.parametrize("build", [bloom, gptj, gpt_oss])
def test_a_model_without_sdpa_loads_and_names_the_attention_it_got(build, tiny_model_directory, tmp_path):
    directory = saved(build(), tiny_model_directory, tmp_path / "model")
    assert loaded(directory).identity.attention == "eager"
    with pytest.raises(ModelError, match=r"attention is sdpa; set attention: auto or eager"):
        loaded(directory, attention="sdpa")


def test_the_attention_that_transformers_chooses_is_named(tiny_model_directory):
    assert loaded(tiny_model_directory).identity.attention == "sdpa"


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("tokenizer.json", "{}"),
        ("tokenizer.json", "[]"),
        ("tokenizer.json", "no json"),
        ("config.json", "no json"),
        ("config.json", "[]"),
        ("config.json", '{"model_type": "llama", "hidden_size": "wide"}'),
        ("config.json", '{"model_type": "llama", "num_attention_heads": 0}'),
    ],
)
def test_damaged_files_are_told_in_one_line(own_directory, file, content):
    (own_directory / file).write_text(content)
    with pytest.raises(ModelError, match="cannot load model") as caught:
        loaded(own_directory)
    assert "\n" not in str(caught.value)


def test_an_interrupt_while_loading_stays_one(tiny_model_directory, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(AutoTokenizer, "from_pretrained", interrupt)
    with pytest.raises(KeyboardInterrupt):
        loaded(tiny_model_directory)


def test_a_mistyped_directory_is_told_before_the_hub_is_spoken_of(monkeypatch):
    def offline(*_, **__):
        raise OSError("We couldn't connect to 'https://huggingface.co'\nCheck your internet connection")

    monkeypatch.setattr(AutoTokenizer, "from_pretrained", offline)
    with pytest.raises(ModelError, match=r"^there is no directory 'models/foo' here, .*couldn't connect"):
        load(ModelConfig(name="models/foo", device="cpu"))
