import pytest

from byheart.config import RunConfig
from byheart.errors import InterruptedRunError
from byheart.export.bundle import FIRST_RANK_FILE, Bundle
from byheart.law.plan import Need
from byheart.learning.growth import Growth
from byheart.pipeline import learn
from byheart.planning.choice import Choice, first_rank
from byheart.planning.planner import plan_for
from byheart.sizing import RANKS, ROOM_RANK

NEED = Need(4, 60, 5.0)


def test_without_a_calibration_the_rule_by_bits_is_taken_and_said_so(tiny_base, outline, config):
    choice = first_rank(NEED, 400.0, tiny_base.identity, outline, config)
    assert choice.plan is None
    assert "bits to learn" in choice.reason
    assert "not planned: there is no calibration" in choice.reason


def test_with_one_the_rank_is_planned_from_those_that_engines_take(stored, tiny_base, outline, config, by_bits):
    stored()
    choice = first_rank(NEED, 4.0, tiny_base.identity, outline, config)
    assert choice.plan == plan_for(NEED, by_bits, ranks=RANKS)
    assert choice.lora_rank == plan_for(NEED, by_bits, ranks=RANKS).lora_rank
    assert choice.reason.startswith("planned: rank")
    assert "is taken" not in choice.reason


def test_more_than_is_planned_is_taken_where_room_makes_learning_quicker(stored, tiny_base, outline, config):
    stored()
    most = first_rank(NEED, 1e9, tiny_base.identity, outline, config)
    assert most.plan is not None
    assert most.lora_rank == ROOM_RANK > most.plan.lora_rank
    assert most.reason.endswith(f"; rank {ROOM_RANK} is taken, since learning is quicker with room")


def stops_at_once():
    calls = 0

    def interrupted():
        nonlocal calls
        calls += 1
        return calls > 1

    return interrupted


def test_the_manifest_says_what_was_planned(stored, tiny_base, tiny_memory, tmp_path, by_bits, monkeypatch):
    stored()
    monkeypatch.setattr(
        "byheart.planning.choice.find", lambda *_: by_bits
    )  # whose settings are not those of few epochs
    short = {"epochs": 2, "max_growths": 0}
    bundle = learn(tiny_memory, tiny_base, out=tmp_path / "b", layers="all", config={"learn": short})
    planned = Bundle.read(tmp_path / "b", tiny_base).manifest.plan
    assert planned is not None
    assert planned.lora_rank == bundle.summary()["lora_rank"]
    chosen = plan_for(
        Need(4, bundle.certificate.num_answer_tokens, bundle.manifest.nll_before_nats), by_bits, ranks=RANKS
    )
    assert planned.probability == pytest.approx(chosen.at(planned.lora_rank).probability, abs=1e-6)
    assert planned.predicted_nll_nats is None
    assert planned.planned_lora_rank == chosen.lora_rank
    assert planned.extrapolates == (chosen.at(planned.lora_rank).extrapolation > 1)


def test_an_adapter_that_was_planned_too_small_grows_and_the_manifest_has_both(
    tiny_base, tiny_memory, tmp_path, by_bits, monkeypatch
):
    monkeypatch.setattr("byheart.planning.choice.find", lambda *_: by_bits)
    monkeypatch.setattr("byheart.planning.choice.RANKS", (1,))
    monkeypatch.setattr("byheart.planning.choice.rank_for", lambda *_: (1, "one"))
    learn(tiny_memory, tiny_base, out=tmp_path, layers="all", config={"learn": {"epochs": 1, "max_growths": 1}})
    manifest = Bundle.read(tmp_path, tiny_base).manifest
    assert manifest.plan is not None
    assert manifest.plan.lora_rank == manifest.plan.planned_lora_rank == 1
    assert manifest.growths == (Growth(1, 1, 2),)
    assert manifest.placement["lora_rank"] == 2


def test_what_another_run_left_in_the_directory_is_not_taken(tiny_base, outline, config, tmp_path):
    kept = tmp_path / FIRST_RANK_FILE
    mine = first_rank(NEED, 400.0, tiny_base.identity, outline, config, kept, "a")
    theirs = first_rank(NEED, 9e5, tiny_base.identity, outline, config, kept, "b")
    assert mine.lora_rank != theirs.lora_rank
    assert first_rank(NEED, 400.0, tiny_base.identity, outline, config, kept, "b") == theirs


def test_a_run_that_goes_on_keeps_what_it_was_planned_by_when_the_calibration_has_gone(
    tiny_base, tiny_memory, tmp_path, by_bits, monkeypatch
):
    settings = {"layers": "all", "config": {"learn": {"epochs": 3, "max_growths": 0, "checkpoint_seconds": 0}}}
    with monkeypatch.context() as calibrated, pytest.raises(InterruptedRunError):
        calibrated.setattr("byheart.planning.choice.find", lambda *_: by_bits)
        learn(tiny_memory, tiny_base, out=tmp_path, interrupted=stops_at_once(), **settings)
    begun = Choice.read(tmp_path / FIRST_RANK_FILE)
    assert begun.plan is not None
    bundle = learn(tiny_memory, tiny_base, out=tmp_path, **settings)
    assert bundle.manifest.rank_reason == begun.reason
    assert bundle.manifest.plan is not None
    assert bundle.manifest.plan.probability == begun.plan.at(begun.lora_rank).probability
    assert not (tmp_path / FIRST_RANK_FILE).exists()


def test_a_run_that_goes_on_keeps_its_rank_when_a_calibration_has_come(
    tiny_base, tiny_memory, tmp_path, by_bits, monkeypatch
):
    settings = {"layers": "all", "config": {"learn": {"epochs": 3, "max_growths": 0, "checkpoint_seconds": 0}}}
    with pytest.raises(InterruptedRunError):
        learn(tiny_memory, tiny_base, out=tmp_path, interrupted=stops_at_once(), **settings)
    begun = Choice.read(tmp_path / FIRST_RANK_FILE)
    monkeypatch.setattr("byheart.planning.choice.find", lambda *_: by_bits)
    monkeypatch.setattr("byheart.planning.choice.RANKS", (128,))
    bundle = learn(tiny_memory, tiny_base, out=tmp_path, **settings)
    assert bundle.summary()["lora_rank"] == begun.lora_rank != 128
    assert bundle.manifest.rank_reason == begun.reason
    assert bundle.manifest.plan is None


def test_a_rank_that_was_asked_for_is_not_planned(stored, tiny_base, tiny_memory):
    stored()
    config = RunConfig.build({"learn": {"epochs": 1}}, layers="all", lora_rank=2).model_dump(mode="json")
    del config["model"]
    manifest = learn(tiny_memory, tiny_base, config=config).manifest
    assert manifest.plan is None
    assert manifest.rank_reason == "as asked"
