from dataclasses import replace
from typing import Any

import pytest

from byheart.config import RunConfig
from byheart.memory.encode import encode
from byheart.memory.records import Memory
from byheart.memory.template import EncodeConfig
from byheart.settings import merged
from byheart.sweep.cell import Cell
from byheart.tasks.registry import parse
from conftest import PAIRS
from tokenizers_for_tests import chat_tokenizer

CHANGES: list[dict[str, Any]] = [
    {"model": {"name": "smollm2"}},
    {"model": {"revision": "main"}},
    {"model": {"dtype": "float32"}},
    {"model": {"device": "cpu"}},
    {"model": {"attention": "eager"}},
    {"encode": {"learn_end": False}},
    {"placement": {"layers": "1"}},
    {"placement": {"modules": "mlp"}},
    {"placement": {"lora_rank": 3}},
    {"placement": {"lora_alpha": 3.0}},
    {"placement": {"lora_dropout": 0.1}},
    {"method": {"name": "sft"}},
    {"method": {"margin": 0.1}},
    {"method": {"epsilon": 0.1}},
    {"method": {"rest_epochs": 0}},
    {"method": {"window": {"floor": 0.02}}},
    {"method": {"compat": {"sft_when_none_active": True}}},
    {"learn": {"epochs": 3}},
    {"learn": {"batch_size": 3}},
    {"learn": {"accumulation": 3}},
    {"learn": {"learning_rate": 0.1}},
    {"learn": {"decay": "linear"}},
    {"learn": {"floor_share": 0.2}},
    {"learn": {"averaging": 0}},
    {"learn": {"plateau_epochs": 3}},
    {"learn": {"initial": "random"}},
    {"learn": {"shortlist": False}},
    {"certify": {"max_batch_tokens": 100}},
    {"seed": 1},
]


def cell(**changed: Any) -> Cell:
    memory = Memory.from_pairs(PAIRS)
    whole = Cell(RunConfig(), parse({"name": "scenarios"}), {}, memory, "e", num_answer_tokens=50, num_tokens=120)
    return replace(whole, **changed)


def encoded(pairs: list[tuple[str, str]], config: EncodeConfig, tokenizer: Any) -> str:
    return encode(Memory.from_pairs(pairs), tokenizer, config).fingerprint


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_any_setting_changed_is_another_cell(change):
    run = RunConfig.parse(merged(RunConfig().model_dump(mode="json"), change))
    assert cell(run=run).fingerprint != cell().fingerprint


def test_every_section_that_a_run_has_is_changed_above():
    sections = {section for change in CHANGES for section in change}
    assert sections == RunConfig.model_fields.keys() - {"format"}


def test_other_records_another_template_or_another_task_are_another_cell():
    others = [*PAIRS[:-1], (PAIRS[-1][0], "else")]
    same, raw = EncodeConfig(), EncodeConfig(template="raw")
    read = [encoded(PAIRS, same, chat_tokenizer()), encoded(others, same, chat_tokenizer())]
    read.append(encoded(PAIRS, raw, chat_tokenizer()))
    other_task = cell(task=parse({"name": "phonebook", "num_pairs": 4}))
    changed = [*(cell(encoded_fingerprint=each) for each in read), other_task]
    assert len({each.fingerprint for each in changed}) == 4


def test_other_records_asked_for_are_another_cell_and_none_is_as_ever():
    asked = [None, Memory.from_pairs(PAIRS), Memory.from_pairs(PAIRS[1:])]
    assert len({cell(unseen=each).fingerprint for each in asked}) == 3
    assert [len(cell(unseen=each).plain_unseen()) for each in asked] == [0, 4, 3]


def test_what_it_was_called_on_an_axis_makes_no_other_cell():
    assert cell(axes={"seed": 42}).fingerprint == cell().fingerprint
    assert cell().fingerprint.startswith(cell().name)


def test_its_records_cross_processes_whole():
    turns = [
        ({"role": "system", "content": "Be exact."}, {"role": "user", "content": "a "}),
        ({"role": "user", "content": "ß"},),
    ]
    pairs = [*PAIRS, *((list(prompt), f" answer\n{n}") for n, prompt in enumerate(turns))]
    memory = Memory.from_pairs(pairs)
    again = Memory.from_pairs(cell(memory=memory).plain_records())
    assert again.fingerprint == memory.fingerprint


def test_its_work_grows_with_tokens_and_epochs():
    twice = RunConfig.parse({"learn": {"epochs": 200}})
    once = RunConfig.parse({"learn": {"epochs": 100}})
    assert cell(run=twice).work == 2 * cell(run=once).work
    assert cell(num_answer_tokens=100).work > cell(num_tokens=170).work > cell().work, "a prompt's tokens are cheaper"
    assert cell(num_unseen_tokens=30).work == cell().work + 30
