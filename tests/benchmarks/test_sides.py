"""Both sides of the race run on a random model, and tell what the table needs."""

# pyright: reportMissingImports=false

import importlib
import json

import pytest
from peers import SIDES
from peers.gpu_sides import flops_a_pass, sides

from byheart.config import RunConfig


def ran(race) -> dict:
    importlib.import_module(SIDES[race.job.side]).run(race)
    return json.loads(race.path.read_text(encoding="utf-8"))


@pytest.fixture
def rows(small_shape):
    return sides(small_shape, max_epochs=3, batch_size=2)


def test_byheart_tells_every_epoch_and_what_its_steps_are_made_of(make_race, rows, small_shape):
    outcome = ran(make_race(rows["byheart"]))
    assert [epoch["epoch"] for epoch in outcome["history"]] == [1, 2, 3]
    assert all(0 < epoch["share"] <= 1 for epoch in outcome["history"])
    assert outcome["engine"]["cut"] == small_shape.layer
    assert outcome["engine"]["batch_size"] == 2
    assert outcome["engine"]["num_shared"] > 0
    assert not outcome["engine"]["fused_loss"]


def test_the_authors_loop_runs_to_the_bound_of_epochs(make_race, rows, small_shape):
    outcome = ran(make_race(rows["authors"], max_epochs=2))
    assert [epoch["share"] for epoch in outcome["history"]] == [1.0, 1.0]
    assert outcome["num_parameters"] == 2 * 64 * small_shape.num_hidden


def test_both_sides_have_the_same_records_and_prompts(make_race, rows):
    ours, theirs = (ran(make_race(rows[name], max_epochs=2)) for name in ("byheart", "authors"))
    assert ours["num_tokens"] == theirs["num_tokens"] > ours["num_answer_tokens"] == theirs["num_answer_tokens"] > 0


def test_the_shortlist_spares_arithmetic_where_it_is_on(make_race, rows, small_shape):
    outcome = ran(make_race(rows["byheart-whole"]))
    assert outcome["engine"]["num_words"] == small_shape.num_words
    fewer = {**outcome, "engine": {**outcome["engine"], "num_words": 100}}
    side = rows["byheart-whole"]
    assert flops_a_pass(side, small_shape, fewer) < flops_a_pass(side, small_shape, outcome)


def test_every_row_has_settings_that_byheart_takes(rows):
    for side in rows.values():
        if side.modules is not None:
            config = RunConfig.build(side.settings["config"])
            assert config.placement.lora_rank == 64
            assert config.learn.epochs == 3


def test_the_rows_without_shortlist_differ_in_the_fused_loss_alone(rows):
    whole, fused = (RunConfig.build(rows[name].settings["config"]) for name in ("byheart-whole", "byheart-fused"))
    assert (whole.learn.shortlist, whole.learn.fused_loss) == (False, False)
    assert (fused.learn.shortlist, fused.learn.fused_loss) == (False, True)
    assert whole.placement == fused.placement
