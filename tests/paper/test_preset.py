"""The big presets against the paper's set-up, written down here a second time as the table that it is."""

import json
from pathlib import Path
from typing import Any

import pytest

from byheart.errors import SettingsError
from byheart.paper.exhibits import EXHIBITS
from byheart.paper.preset import preset_names, read_preset

KEPT = Path(__file__).parents[2] / "docs" / "reproduction" / "reproduction.json"
STAGED = {
    "qwen3-8b": """
1000 0.01 300 10x1 20,40,60,80,300
2000 0.01 300 10x1 20,40,60,80,300
4000 0.01 350 10x1 30,60,90,120,350
8000 0.007 350 20x2 30,60,90,120,350
12000 0.005 500 40x2 60,120,180,240,500
16000 0.005 600 40x2 80,160,240,320,600
24000 0.005 600 40x2 80,160,240,320,600
32000 0.005 700 40x2 100,200,300,400,700""",
    "llama-3.1-8b": """
1000 0.01 300 25x1 20,40,60,80,300
2000 0.01 400 25x1 40,80,120,160,400
4000 0.007 400 50x1 40,80,120,160,400
8000 0.005 600 50x2 80,160,240,320,600
12000 0.005 700 50x2 100,200,300,400,700
16000 0.005 700 50x2 100,200,300,400,700
24000 0.003 700 50x4 100,200,300,400,700
32000 0.003 800 50x4 120,240,360,480,800""",
}
PLAIN_BATCH = {
    "qwen3-8b": {1000: 4, 2000: 4, 4000: 4, 8000: 8, 12000: 8, 16000: 8, 24000: 8, 32000: 16},
    "llama-3.1-8b": {1000: 10, 2000: 10, 4000: 10, 8000: 10, 12000: 10, 16000: 10, 24000: 20, 32000: 20},
}
LAYER = {"qwen3-8b": "24", "llama-3.1-8b": "18"}
RANKS = {1, 2, 4, 8, 16, 32, 64}
LONG_RANKS = {1, 2, 4, 6, 8, 10, 12, 14, 16}
LONG_LENGTHS = {50, 100, 200, 500, 1000, 2000, 3000, 4000, 5000, 6000, 7000, 8000, 10000}

big = pytest.mark.parametrize("name", ["qwen3-8b", "llama-3.1-8b"])


def drafts_of(name: str, experiment: Any) -> list[Any]:
    return read_preset(name).drafts(experiment)


def stage(draft) -> str:
    learn, boundaries = draft.run.learn, draft.run.method.curriculum.boundaries
    return (
        f"{draft.task.num_answer_tokens} {learn.learning_rate:g} {learn.epochs} "
        f"{learn.batch_size}x{learn.accumulation} {','.join(map(str, boundaries))}"
    )


@big
def test_phonebook_runs_as_the_paper_did(name):
    drafts = drafts_of(name, "phonebook")
    staged = [draft for draft in drafts if draft.run.method.name == "memft-sw-curriculum"]
    assert list(dict.fromkeys(map(stage, staged))) == STAGED[name].strip().splitlines()
    plain = [draft for draft in drafts if draft.run.method.name in ("sft", "memft-ot")]
    assert {draft.task.num_answer_tokens: draft.run.learn.batch_size for draft in plain} == PLAIN_BATCH[name]
    assert {(draft.run.learn.learning_rate, draft.run.learn.epochs) for draft in plain} == {(0.01, 200)}
    assert {draft.run.placement.lora_rank for draft in drafts} == RANKS
    assert len(staged) == 8 * 7
    assert len(plain) == 2 * 8 * 7


@big
def test_at_equal_budget_every_method_has_the_staged_ones(name):
    drafts = drafts_of(name, "phonebook-equal")
    by_method = {
        method: [stage(draft) for draft in drafts if draft.run.method.name == method]
        for method in ("sft", "memft-ot", "memft-sw-curriculum")
    }
    assert by_method["sft"] == by_method["memft-ot"] == by_method["memft-sw-curriculum"]
    assert list(dict.fromkeys(by_method["sft"])) == STAGED[name].strip().splitlines()


@big
def test_long_texts_run_as_the_paper_did(name):
    drafts = drafts_of(name, "law")
    long = [draft for draft in drafts if draft.task.name == "long-context"]
    assert {draft.task.num_answer_tokens for draft in long} == LONG_LENGTHS
    assert {draft.task.random_ratio for draft in long} == {0, 0.2, 0.6, 0.8, 1}
    of_ratio = {ratio: {d.run.placement.lora_rank for d in long if d.task.random_ratio == ratio} for ratio in (0.8, 1)}
    assert of_ratio == {0.8: LONG_RANKS, 1: LONG_RANKS | {24, 32, 48, 64, 128, 256, 512}}
    assert {(d.run.learn.learning_rate, d.run.learn.epochs, d.run.learn.batch_size) for d in long} == {(0.01, 2000, 1)}
    assert not any(draft.run.encode.learn_end for draft in long)


@big
def test_what_all_published_runs_share(name):
    run = read_preset(name).drafts("scenarios")[0].run
    learn, method, placement = run.learn, run.method, run.placement
    assert (placement.layers, placement.modules, placement.lora_dropout) == (LAYER[name], "mlp-bypass", 0.1)
    assert placement.lora_alpha is None  # scale 1
    assert (learn.decay, learn.decay_share, learn.floor_share) == ("linear", 1, 0)
    assert (learn.clip_norm, learn.weight_decay, learn.betas) == (1, 0, (0.9, 0.999))
    assert (learn.averaging, learn.initial, learn.shortlist, learn.keep) == (0, "random", False, "last")
    assert (method.margin, method.rest_epochs, method.compat.sft_when_none_active) == (0, 0, True)
    assert method.compat.window_skip_last_tokens == (5 if name == "qwen3-8b" else 0)
    assert (run.seed, run.model.dtype, run.encode.template_kwargs) == (42, "bfloat16", {"enable_thinking": False})
    assert "assistant" in (run.encode.system_prompt or "")


@pytest.mark.parametrize("name", ["tiny", "small"])
def test_the_small_presets_feed_every_exhibit(name):
    preset = read_preset(name)
    for exhibit in EXHIBITS.values():
        assert all(preset.drafts(experiment) for experiment in exhibit.needs)
    models = {draft.run.model.name for experiment in preset.experiments for draft in preset.drafts(experiment)}
    assert models == {"smollm2-135m"}


@pytest.mark.parametrize("name", ["tiny", "small", "qwen3-8b"])
def test_the_two_comparisons_share_their_staged_cells_and_the_curves_are_of_equal_budget(name):
    preset = read_preset(name)

    def settings(experiment):
        return {(draft.run.model_dump_json(), draft.task.model_dump_json()) for draft in preset.drafts(experiment)}

    staged = {each for each in settings("phonebook") if "memft-sw-curriculum" in each[0]}
    assert staged <= settings("phonebook-equal")
    assert settings("convergence") <= settings("phonebook-equal")


def test_another_model_in_the_place_of_the_presets():
    [run, *_] = read_preset("tiny").with_model("some/where").drafts("scenarios")
    assert run.run.model.name == "some/where"


def test_names_and_files():
    assert preset_names() == ["llama-3.1-8b", "qwen3-8b", "small", "tiny"]
    with pytest.raises(SettingsError, match=r"unknown preset 'smal' \(did you mean 'small'\?\).*YAML file of your own"):
        read_preset("smal")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{about: a, paper_model: qwen3-8b, experiments: {lawn: []}}", "unknown experiment 'lawn' .did you mean 'law'"),
        ("{about: a, paper_model: qwen3, experiments: {}}", "paper_model"),
        ("{about: a, paper_model: qwen3-8b, experimnts: {}}", "did you mean 'experiments'"),
    ],
)
def test_a_preset_of_ones_own_is_checked(text, message, tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=message):
        read_preset(str(path))


def test_cells_are_checked_by_the_settings_of_runs(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text(
        "{about: a, paper_model: qwen3-8b, experiments: {law: [{task: {name: phonebook}, axes: {lora_rank: [0]}}]}}"
    )
    with pytest.raises(SettingsError, match="lora_rank"):
        read_preset(str(path)).drafts("law")


def test_the_reproduction_that_is_kept_is_of_the_preset_as_it_is():
    kept = json.loads(KEPT.read_text(encoding="utf-8"))
    assert kept["preset_fingerprint"] == read_preset(kept["preset"]).fingerprint, (
        "run the preset again, or take it back"
    )
    assert kept["preset"] == "small"
    assert set(kept["exhibits"]) == set(EXHIBITS)
