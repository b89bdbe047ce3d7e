"""The defaults bring every kind of memory back to the letter on the embedded model, without an option.

The eight scenarios are in `test_embedded.py`; here are the other kinds that the defaults were chosen on, at sizes that
take seconds: numbers, prose, and random tokens.
"""

import pytest

from byheart.memory.records import Memory
from byheart.model.base import Base, load
from byheart.model.config import ModelConfig
from byheart.pipeline import learn
from byheart.tasks.registry import build, parse
from embedded_for_tests import NEEDS_EMBEDDED_MODEL

pytestmark = NEEDS_EMBEDDED_MODEL

TASKS = {
    "phonebook": {"name": "phonebook", "num_pairs": 10},
    "prose": {"name": "long-context", "num_answer_tokens": 60},
    "random tokens": {"name": "long-context", "num_answer_tokens": 40, "random_ratio": 1.0},
}


@pytest.fixture(scope="module")
def base() -> Base:
    return load(ModelConfig(device="cpu"))


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_the_defaults_recall_everything(base, task):
    memory: Memory = build(parse(task), base.tokenizer)
    bundle = learn(memory, base)
    assert bundle.certificate.exact_match == 1
    assert bundle.certificate.num("certified") == len(memory)
    assert bundle.manifest.stop_reason == "certified"
    assert not bundle.manifest.growths
