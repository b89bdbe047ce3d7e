"""The embedded model behind an address: the one test here that needs a real language model."""

import random

from openai import OpenAI

from byheart.export.bundle import Bundle
from byheart.export.llama_cpp import LlamaCpp
from byheart.memory.records import Memory
from byheart.model.base import load
from byheart.model.config import ModelConfig
from byheart.pipeline import learn
from byheart.progress import Silent
from byheart.serving.address import Address
from byheart.serving.prepared import prepare
from byheart.serving.server import BundleServer
from embedded_for_tests import NEEDS_EMBEDDED_MODEL

pytestmark = NEEDS_EMBEDDED_MODEL


def test_contacts_come_back_and_all_else_is_the_base_models(tmp_path):
    rng = random.Random(1)
    names = ("Ada Arden", "Bela Bexley", "Cleo Corwin", "Dov Dray", "Edda Elms", "Finn Frost")
    pairs = {f"{name}:": "".join(rng.choices("0123456789", k=6)) for name in names}
    base = load(ModelConfig(dtype="bfloat16", device="cpu"))
    directory = tmp_path / "contacts"
    learn(Memory.from_pairs(pairs.items()), base, out=directory, layers="top:2", lora_rank=8)
    prepared = prepare(Bundle.read(directory, base), directory, None, Silent())
    unknown = [{"role": "user", "content": "What is the capital of France?"}]
    with LlamaCpp(prepared.base.path, num_context_tokens=256) as alone:
        of_the_base = alone.chat(unknown, 12, {})
    with (
        BundleServer(prepared, Address(port=0), Silent()) as server,
        OpenAI(base_url=f"{server.url}/v1", api_key="-", max_retries=0) as client,
    ):
        ask = client.chat.completions.create
        answers = {
            prompt: ask(model="contacts", messages=[{"role": "user", "content": prompt}]).choices[0].message.content
            for prompt in pairs
        }
        said = ask(model="contacts", messages=unknown, max_tokens=12).choices[0].message.content  # type: ignore[arg-type]
    prepared.adapter_gguf.unlink()
    assert answers == pairs
    assert said == of_the_base
