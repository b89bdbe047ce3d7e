import json
from dataclasses import replace

import pytest

from byheart.config import RunConfig
from byheart.errors import ArtifactError, LawError
from byheart.law.forecast import fit_forecast
from byheart.law.plan import Need
from byheart.law.recall import fit_recall
from byheart.planning import calibration as module
from byheart.planning.calibration import Calibration, calibrate_command, differing, find, settings_of
from byheart.planning.planner import plan_for


def test_what_is_saved_is_read_again_whole(by_law, tmp_path):
    by_law.save(tmp_path / "c.json")
    assert Calibration.read(tmp_path / "c.json") == by_law


def test_one_of_the_same_weights_is_found_by_whatever_name(stored, tiny_base, outline, config, by_bits):
    stored()
    renamed = replace(tiny_base.identity, name="another/name")
    assert find(renamed, outline, config) == by_bits


def test_a_users_own_wins_over_one_that_ships(stored, tiny_base, outline, config, by_bits, tmp_path, monkeypatch):
    shipped = by_bits.model_copy(update={"num_failed": 7})
    user = module.user_directory()
    shipped.save(tmp_path / "shipped" / by_bits.subject.file_name)
    monkeypatch.setattr(module, "directories", lambda: [user, tmp_path / "shipped"])
    assert find(tiny_base.identity, outline, config).num_failed == 7
    stored()
    assert find(tiny_base.identity, outline, config).num_failed == 0


@pytest.mark.parametrize("changed", [{"layers": "1"}, {"modules": "mlp"}, {"method": "sft"}], ids=str)
def test_another_placement_or_method_has_none_and_the_mend_is_named(stored, tiny_base, changed):
    from byheart.model.placement import resolve

    stored()
    config = RunConfig.build(None, **({"model": tiny_base.identity.name, "layers": "all"} | changed))
    with pytest.raises(LawError, match=r"there is no calibration of .*; make one: byheart calibrate"):
        find(tiny_base.identity, resolve(config.placement, tiny_base.model, 1), config)


def test_other_weights_have_none(stored, tiny_base, outline, config):
    stored()
    with pytest.raises(LawError, match="there is no calibration"):
        find(replace(tiny_base.identity, weights_sha256="0" * 64), outline, config)


def test_one_made_with_other_settings_is_not_taken(stored, tiny_base, outline, config):
    stored()
    other = RunConfig.build({"learn": {"epochs": 3}}, model=tiny_base.identity.name, layers="all")
    with pytest.raises(LawError, match=r"was made with another learn\.epochs; plan with the defaults"):
        find(tiny_base.identity, outline, other)


def test_one_that_defaults_have_left_behind_is_to_be_made_anew(tiny_base, outline, config, by_bits):
    old = {**by_bits.settings, "learn": {**by_bits.settings["learn"], "epochs": 3}}
    by_bits.model_copy(update={"settings": old}).save(module.user_directory() / by_bits.subject.file_name)
    with pytest.raises(LawError, match=r"another learn\.epochs; make it anew: byheart calibrate .* --layers all$"):
        find(tiny_base.identity, outline, config)


def test_a_users_own_of_other_settings_leaves_the_one_that_ships(
    stored, tiny_base, outline, config, by_bits, tmp_path, monkeypatch
):
    old = {**by_bits.settings, "learn": {**by_bits.settings["learn"], "epochs": 3}}
    by_bits.model_copy(update={"settings": old, "num_failed": 7}).save(tmp_path / "old" / by_bits.subject.file_name)
    monkeypatch.setattr(module, "directories", lambda: [tmp_path / "old", module.user_directory()])
    stored()
    assert find(tiny_base.identity, outline, config).num_failed == 0


def test_settings_that_decide_nothing_do_not_keep_one_away(stored, tiny_base, outline):
    stored()
    section = {"max_growths": 0, "checkpoint_seconds": 1.0, "report_to": "tensorboard"}
    other = RunConfig.build({"learn": section, "seed": 7}, model=tiny_base.identity.name, layers="all")
    find(tiny_base.identity, outline, other)


def test_a_setting_that_an_older_one_does_not_have_counts_by_its_default():
    mine = settings_of(RunConfig())
    older = {name: settings for name, settings in mine.items() if name != "engine"}
    assert differing(mine, older) == ["engine.version"]
    theirs = {section: dict(values) for section, values in mine.items()}
    del theirs["learn"]["averaging"]
    assert differing(mine, theirs) == []
    mine["learn"]["averaging"] = 0.5
    assert differing(mine, theirs) == ["learn.averaging"]


def test_a_damaged_one_is_refused_with_its_place(stored, tiny_base, outline, config):
    path = stored()
    plain = json.loads(path.read_text())
    del plain["recall"]
    path.write_text(json.dumps(plain))
    with pytest.raises(ArtifactError, match="not a whole calibration: recall"):
        find(tiny_base.identity, outline, config)


def test_the_command_that_makes_one_has_what_is_no_default():
    config = RunConfig.build(None, layers="20", modules="down_proj", method="sft")
    command = "byheart calibrate smollm2-135m --layers 20 --modules down_proj --method sft"
    assert calibrate_command(config) == command
    assert calibrate_command(RunConfig()) == "byheart calibrate smollm2-135m"
    assert calibrate_command(RunConfig.build(None, model="my model; x")) == "byheart calibrate 'my model; x'"


SHIPPED = list(module.directories()[-1].glob("*.json"))


def test_the_default_placement_and_the_papers_probe_have_one_that_ships():
    assert {tuple(Calibration.read(path).subject.layers) for path in SHIPPED} == {(20,), (27, 28, 29)}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_those_that_ship_are_of_the_settings_that_runs_have_now(path):
    shipped = Calibration.read(path)
    assert path.name == shipped.subject.file_name
    assert differing(settings_of(RunConfig()), shipped.settings) == []
    assert plan_for(Need(1, 100, 3.0), shipped).ranks


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_those_that_ship_have_the_curves_that_their_own_cells_give(path):
    shipped = Calibration.read(path)
    forecast = fit_forecast(shipped.observations)
    assert shipped.forecast is not None
    assert shipped.forecast.capacity is not None
    assert forecast.capacity is not None
    assert forecast.capacity.model_dump() == pytest.approx(shipped.forecast.capacity.model_dump(), rel=1e-3)
    recall = fit_recall(shipped.observations, forecast)
    assert recall.reading == shipped.recall.reading
    assert recall.constants == pytest.approx(shipped.recall.constants, rel=1e-3)
