"""The authors' files, where they lie beside the repository: read whole, by the tasks that take them as a source."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from byheart.tasks.long_context import PROMPT, LongContextConfig, build, read_text
from byheart.tasks.phonebook import PhonebookConfig
from byheart.tasks.phonebook import build as build_phonebook
from tokenizers_for_tests import chat_tokenizer

DATA = Path(__file__).parents[2] / "../shared/data"
SIZES = (1000, 2000, 4000, 8000, 12000, 16000, 24000, 32000)
TOKENS_A_NUMBER = {"qwen": 10, "llama": 4}

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the authors' files are not here: they are not read")


@pytest.mark.parametrize("name", TOKENS_A_NUMBER)
def test_every_phonebook_is_the_beginning_of_the_next(name):
    smaller: Sequence[tuple[object, str]] = []
    for size in SIZES:
        source = DATA / "phonebook" / name / f"PB{size}.jsonl"
        num_pairs = size // TOKENS_A_NUMBER[name]
        lines = [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines()]
        memory = build_phonebook(PhonebookConfig(source=source, num_pairs=num_pairs), chat_tokenizer())
        pairs = [(record.prompt, record.answer) for record in memory]
        assert pairs == [(line["query"], line["target"]) for line in lines], "all of them, in order"
        assert pairs[: len(smaller)] == smaller
        smaller = pairs


@pytest.mark.parametrize("ratio", [0, 20, 60, 80, 100])
def test_every_long_text_is_read_to_the_letter(ratio):
    source = DATA / "long_context" / f"r{ratio}.jsonl"
    line = json.loads(source.read_text(encoding="utf-8"))
    assert read_text(source) == line["matching"]
    assert line["question"] == PROMPT
    (record,) = build(LongContextConfig(source=source, num_answer_tokens=12), chat_tokenizer())
    assert line["matching"].startswith(record.answer)
