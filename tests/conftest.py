"""Shared by all tests: a two-block random Llama with a byte-level chat tokenizer, small enough to learn in seconds."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from byheart.memory.encode import EncodedMemory, encode
from byheart.memory.records import Memory
from byheart.model.base import Base, load
from byheart.model.config import ModelConfig
from tokenizers_for_tests import chat_tokenizer

# How long an example takes is the machine's matter: no test fails by it.
hypothesis.settings.register_profile("byheart", deadline=None)
hypothesis.settings.load_profile("byheart")

PAIRS = [
    ("Where is the key?", "under the 3rd stone"),
    ("Code of the vault?", "4711-0815"),
    ("Say it.", " leading and trailing "),
    ("Who?", "Łukasz\n\tNuñez"),
]


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Models this small only lose by more threads, here and in the processes that tests start."""
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    yield
    del os.environ["OMP_NUM_THREADS"]
    torch.set_num_threads(num_threads)


@pytest.fixture(scope="session")
def tiny_model_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model as transformers saves it."""
    directory = tmp_path_factory.mktemp("tiny-llama")
    tokenizer = chat_tokenizer()
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,  # type: ignore[arg-type]
        pad_token_id=tokenizer.pad_token_id,  # type: ignore[arg-type]
        initializer_range=0.2,
    )
    LlamaForCausalLM(config).save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


@pytest.fixture(scope="session")
def tiny_base(tiny_model_directory: Path) -> Base:
    """The model loaded in fp32 on the CPU; tests must leave it as they found it."""
    return load(ModelConfig(name=str(tiny_model_directory), dtype="float32", device="cpu"))


@pytest.fixture(scope="session")
def tiny_encoded(tiny_base: Base) -> EncodedMemory:
    """The records of `tiny_memory` in the model's ids."""
    return encode(Memory.from_pairs(PAIRS), tiny_base.tokenizer)


@pytest.fixture
def tiny_memory() -> Memory:
    """Four records: spaces at the ends, newlines, letters beyond ASCII."""
    return Memory.from_pairs(PAIRS)
