"""The peers on transformers' trainers run on a random model, and their check of the records is the slow one's."""

# pyright: reportMissingImports=false

import importlib
import json
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from peers import SIDES, exact, plain_trainer

from byheart.config import RunConfig
from byheart.memory.records import Memory
from byheart.model.adapter import Adapter, attached
from byheart.model.placement import resolve
from byheart.pipeline import learn
from conftest import PAIRS
from oracles import whole_model

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")  # as the race runs them: they are the trainers' own

SHORT = {"epochs": 3, "batch_size": 2, "lora_rank": 4}


@pytest.fixture(params=["trl", "trainer"])
def outcome(request, make_race) -> dict:
    """Of a race of three epochs."""
    module = importlib.import_module(SIDES[request.param])
    race = make_race(SimpleNamespace(peer=request.param, settings=module.SETTINGS), **SHORT)
    module.run(race)
    return json.loads(race.path.read_text(encoding="utf-8"))


def test_a_trainer_learns_what_byheart_learns_to_its_bound_and_is_checked_at_the_last_epoch(outcome, make_race):
    assert [epoch["epoch"] for epoch in outcome["history"]] == [1, 2, 3]
    assert outcome["history"][-1]["num_right"] == outcome["best_num_exact"]
    assert outcome["seconds"] > 0
    assert outcome["evaluation_seconds"] > 0
    assert outcome["lora_rank"] == 4
    _, _, encoded = make_race(SimpleNamespace(peer="trl", settings={})).load()
    assert outcome["num_answer_tokens"] == sum(len(record.answer_ids) for record in encoded.records)
    assert outcome["num_tokens"] == sum(record.num_tokens for record in encoded.records)


def test_the_plain_trainer_has_byhearts_default_placement(tiny_base):
    config = RunConfig()
    assert config.placement.layers == f"top:{plain_trainer.TOP_LAYERS}"
    sites = resolve(config.placement.model_copy(update={"layers": "all"}), tiny_base.model, 1).sites
    assert {site.path.rsplit(".", 1)[-1] for site in sites} == set(plain_trainer.MODULES)
    assert plain_trainer.SETTINGS["batch_size"] == config.learn.batch_size


@pytest.fixture(scope="module")
def taught(tiny_base) -> Adapter:
    settings = {"learn": {"epochs": 60, "learning_rate": 0.02}}
    return learn(Memory.from_pairs(PAIRS), tiny_base, layers="top:1", lora_rank=8, config=settings).adapter


@pytest.mark.parametrize("known", ["all", "some", "none"])
def test_what_is_right_is_what_a_slow_greedy_decode_gives_back(known, tiny_base, tiny_encoded, taught):
    first, *others = tiny_encoded.records
    swapped = replace(tiny_encoded, records=(replace(first, answer_ids=others[0].answer_ids), *others))
    memory = swapped if known == "some" else tiny_encoded
    model = tiny_base.model
    with attached(model, taught) if known != "none" else nullcontext():
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
            given = [
                whole_model.greedy(model, record.prompt_ids, len(record.answer_ids), memory.stop_id)
                for record in memory.records
            ]
        expected = [tuple(ids) == record.answer_ids for ids, record in zip(given, memory.records, strict=True)]
        assert exact.right_by_argmax(model, memory) == expected
        assert exact.exact_in_free_run(model, memory) == all(expected)
    assert all(expected) == (known == "all")
    assert any(expected) == (known != "none")
