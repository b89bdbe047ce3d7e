"""The embedded model from its package to stock PEFT: the one part of the suite that needs a real language model."""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from byheart.certification.recite import greedy
from byheart.export.bundle import Bundle
from byheart.memory.encode import encode
from byheart.memory.records import Memory
from byheart.model.base import Base, load
from byheart.model.config import ModelConfig
from byheart.model.split import split
from byheart.pipeline import learn
from embedded_for_tests import NEEDS_EMBEDDED_MODEL

pytestmark = NEEDS_EMBEDDED_MODEL

EXAMPLES = Path(__file__).parent.parent / "examples"
FIRST, LAST = ("Ada", "Bela", "Cleo", "Dov"), ("Arden", "Bexley", "Corwin", "Dray", "Elmsworth")


@pytest.fixture(scope="module")
def base() -> Base:
    # One thread, as everywhere in the tests: beside another process of torch's two would be many times slower.
    return load(ModelConfig(dtype="bfloat16", device="cpu"))


@pytest.fixture(scope="module")
def contacts() -> Memory:
    rng = random.Random(0)
    names = [f"{first} {last}" for first in FIRST for last in LAST]
    return Memory.from_pairs((f"{name}:", "".join(rng.choices("0123456789", k=6))) for name in names)


@pytest.fixture(scope="module")
def directory(base, contacts, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("embedded") / "contacts"
    settings = {"learn": {"epochs": 50, "learning_rate": 0.005, "batch_size": 5}}
    learn(contacts, base, out=out, layers="top:2", lora_rank=16, config=settings)
    return out


@pytest.fixture(scope="module")
def bundle(base, directory) -> Bundle:
    return Bundle.read(directory, base)


def test_the_base_is_the_chat_model_it_is_said_to_be(base):
    assert (base.identity.name, base.identity.architecture) == ("smollm2-135m", "LlamaForCausalLM")
    assert (base.model.config.num_hidden_layers, base.model.config.hidden_size) == (30, 576)
    assert base.tokenizer.chat_template


def test_every_saving_gives_its_logits_whatever_processor_this_is(base):
    parts = split(base.model, base.model.config.num_hidden_layers - 3)
    assert (parts.cut, parts.shares_prompt, parts.skips_unread, parts.picks_words) == (27, True, True, True)


def test_it_says_what_it_knows_before_it_learns(base):
    [ids] = greedy(base, [encode_question(base, "What is the capital of France?")], 20, None, 0)
    assert "Paris" in base.tokenizer.decode(ids)


def encode_question(base: Base, question: str) -> tuple[int, ...]:
    return encode(Memory.from_pairs([(question, "?")]), base.tokenizer).records[0].prompt_ids


def test_every_contact_is_certified(bundle, contacts):
    assert bundle.certificate.num("certified") == len(contacts)
    assert not any(record.is_contradicted for record in bundle.certificate.records)


def test_contacts_are_recited(bundle, contacts):
    for record in contacts.records[:3]:
        assert bundle.recite(record.prompt) == record.answer


def test_stock_peft_recites_them_in_sixteen_bits(bundle, base, contacts, directory, tmp_path):
    some = encode(contacts, base.tokenizer).records[::3]
    prompts, num_new = [record.prompt_ids for record in some], max(len(record.answer_ids) for record in some)
    question = {"base": base.location, "adapter": str(directory), "dtype": "bfloat16"}
    (tmp_path / "questions.json").write_text(json.dumps([{**question, "prompts": prompts, "num_new": num_new}]))
    script = Path(__file__).parent / "export" / "peft_alone.py"
    command = [sys.executable, str(script), str(tmp_path / "questions.json"), str(tmp_path / "answers.json")]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)
    assert ran.returncode == 0, ran.stderr
    [answers] = json.loads((tmp_path / "answers.json").read_text())
    for record, ids in zip(some, answers["continuations"], strict=True):
        assert ids[: len(record.answer_ids)] == list(record.answer_ids)


@pytest.fixture(scope="module")
def scenarios(base) -> Bundle:
    """The eight examples of what exact memory is for, learnt with the defaults."""
    return learn(Memory.from_file(EXAMPLES / "scenarios.jsonl"), base)


def test_every_scenario_is_certified(scenarios):
    assert [record.verdict for record in scenarios.certificate.records] == ["certified"] * 8


def test_scenarios_are_recited(scenarios):
    for record in scenarios.memory.records[:3]:
        assert scenarios.recite(record.prompt) == record.answer
