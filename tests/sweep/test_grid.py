import math
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from byheart.errors import SettingsError
from byheart.fingerprint import canonical_json
from byheart.settings import merged
from byheart.sweep.grid import Draft, expand, full_name, read_grid

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
TASK = {"name": "phonebook", "num_pairs": 3}

AXES = st.fixed_dictionaries(
    {},
    optional={
        "lora_rank": st.lists(st.integers(1, 64), min_size=1, max_size=3, unique=True),
        "method": st.lists(st.sampled_from(["sft", "memft-ot", "memft-sw"]), min_size=1, unique=True),
        "seed": st.lists(st.integers(0, 9), min_size=1, max_size=3, unique=True),
        "num_pairs": st.lists(st.integers(1, 9), min_size=1, max_size=2, unique=True),
        "learn.epochs": st.lists(st.integers(1, 9), min_size=1, max_size=2, unique=True),
        "placement": st.just(["top:1/down_proj", {"layers": "0", "modules": "mlp"}]),
    },
)


def drafts(**sections: Any) -> list[Draft]:
    base = merged({"placement": {"lora_rank": 1}}, sections.pop("base", {}))
    return expand(read_grid({"task": TASK, "base": base, **sections}))


def identities(found: list[Draft]) -> set[str]:
    return {canonical_json([draft.run, draft.task]) for draft in found}


@given(AXES)
@settings(max_examples=40)
def test_there_is_one_cell_for_each_combination(axes):
    found = drafts(axes=axes)
    assert len(found) == math.prod(map(len, axes.values()))
    assert len(identities(found)) == len(found)


@given(AXES, st.randoms(use_true_random=False))
@settings(max_examples=40)
def test_no_order_changes_which_cells_there_are(axes: dict[str, list[Any]], rng: random.Random):
    turned = list(axes.items())
    rng.shuffle(turned)
    turned = {axis: rng.sample(values, len(values)) for axis, values in turned}
    assert identities(drafts(axes=axes)) == identities(drafts(axes=turned))


def test_axes_are_laid_on_the_base():
    [draft] = drafts(
        base={"learn": {"epochs": 7, "batch_size": 2}, "placement": {"layers": "1"}},
        axes={"lora_rank": [3], "method": ["sft"], "learn.epochs": [9], "num_pairs": [5], "seed": [8]},
    )
    assert (draft.run.placement.lora_rank, draft.run.placement.layers) == (3, "1")
    assert (draft.run.method.name, draft.run.seed) == ("sft", 8)
    assert (draft.run.learn.epochs, draft.run.learn.batch_size) == (9, 2)
    assert draft.task.num_pairs == 5  # type: ignore[union-attr]
    assert draft.axes == {
        "placement.lora_rank": 3,
        "method.name": "sft",
        "learn.epochs": 9,
        "task.num_pairs": 5,
        "seed": 8,
    }


def test_a_section_may_be_an_axis():
    found = drafts(
        task={},
        axes={
            "placement": ["20/down_proj", {"layers": "top:1", "lora_rank": 2}],
            "method": [{"name": "sft", "margin": 0}],
            "task": [{"name": "scenarios"}],
        },
    )
    first, second = (draft.run.placement for draft in found)
    assert (first.layers, first.modules) == ("20", "down_proj")
    assert (second.layers, second.lora_rank) == ("top:1", 2)
    assert [draft.axes["placement"] for draft in found] == ["20/down_proj", '{"layers":"top:1","lora_rank":2}']
    assert found[0].run.method.margin == 0
    assert found[0].axes["method.name"] == '{"margin":0,"name":"sft"}'


def test_what_is_excluded_is_left_out():
    found = drafts(
        axes={"lora_rank": [1, 2, 4], "seed": [1, 2]},
        exclude=[{"placement.lora_rank": [1, 2], "seed": 2}, {"lora_rank": 4, "seed": 1}],
    )
    assert {(d.run.placement.lora_rank, d.run.seed) for d in found} == {(1, 1), (2, 1), (4, 2)}


def test_grids_share_what_stands_beside_them_and_a_cell_of_two_is_one():
    found = drafts(
        base={"learn": {"epochs": 5}},
        axes={"seed": [1]},
        grids=[
            {"axes": {"lora_rank": [1, 2]}},
            {"base": {"learn": {"batch_size": 3}}, "axes": {"lora_rank": [2, 4]}},
            {"axes": {"lora_rank": [2]}},
        ],
    )
    sizes = [(d.run.placement.lora_rank, d.run.learn.batch_size, d.run.learn.epochs, d.run.seed) for d in found]
    assert sizes == [(1, 10, 5, 1), (2, 10, 5, 1), (2, 3, 5, 1), (4, 3, 5, 1)]


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"axs": {}}, "unknown setting 'axs' (did you mean 'axes'?)"),
        ({"grids": [{"axs": {}}]}, "unknown setting 'grids.0.axs' (did you mean 'grids.0.axes'?)"),
        ({"axes": {"lora_rnk": [1]}}, "unknown axis 'lora_rnk' (did you mean 'lora_rank'?)"),
        ({"axes": {"learn.epoch": [1]}}, "unknown setting 'learn.epoch' (did you mean 'learn.epochs'?)"),
        ({"axes": {"task.num_pair": [1]}}, "unknown setting 'num_pair' (did you mean 'num_pairs'?)"),
        ({"base": {"learn": {"epoch": 1}}}, "unknown setting 'learn.epoch' (did you mean 'learn.epochs'?)"),
        ({"axes": {"lora_rank": []}}, "axes: lora_rank has no values"),
        ({"axes": {"lora_rank": [1, 1]}}, "axes: lora_rank has 1 twice"),
        ({"axes": {"lora_rank": [1], "placement.lora_rank": [2]}}, "are the same setting"),
        ({"axes": {"lora_rank": 4}}, "axes.lora_rank: Input should be a valid list"),
        ({"axes": {"placement": ["down_proj"]}}, "'down_proj' is no placement; write LAYERS/MODULES"),
        ({"axes": {"seed": [1]}, "exclude": [{"sed": 1}]}, "exclude 1: unknown axis 'sed' (did you mean 'seed'?)"),
        ({"axes": {"seed": [1]}, "exclude": [{"seed": 2}]}, "exclude 1: {'seed': 2} fits no cell"),
        ({"axes": {"seed": [1]}, "exclude": [{"seed": 1}]}, "exclude leaves no cell"),
        ({"task": {}}, "no task is named"),
        ({"base": {"format": {"format": "csv"}}}, "a sweep's records come from its task"),
        ({"axes": {"format.chunk_tokens": [32, 64]}}, "a sweep's records come from its task"),
        ({"base": {"placement": {"lora_rank": "auto"}}}, "placement.lora_rank is auto"),
        ({"axes": {"lora_rank": [4, "auto"]}}, "give a number in base.placement, or an axis lora_rank"),
        ({"base": {"task": {}}}, "base.task: the task has a section of its own"),
    ],
)
def test_a_grid_that_is_wrong(sections, message):
    with pytest.raises(SettingsError) as told:
        drafts(**sections)
    assert message in str(told.value)


def test_all_that_is_wrong_with_any_cell_is_told_at_once():
    with pytest.raises(SettingsError) as told:
        drafts(axes={"learn.batch_size": [0, 1], "seed": [-1, 1], "learn.epochs": [0, 1], "num_pairs": [-3, 1]})
    lines = str(told.value).split("\n")
    assert len(lines) == 4
    assert all(line.endswith(" (8 cells)") for line in lines)


def test_a_file_is_named_in_its_errors(tmp_path):
    path = tmp_path / "GRID.yaml"
    path.write_text("task: {name: scenarios}\naxes: {lora_rank: [0]}\n")
    with pytest.raises(SettingsError, match=r"GRID\.yaml: placement\.lora_rank"):
        expand(read_grid(path), str(path))


def test_full_names():
    assert full_name("random_ratio") == "task.random_ratio"
    assert full_name("learn.decay") == "learn.decay"


def test_the_example_is_a_grid_of_25_cells():
    path = EXAMPLES / "law_probe.yaml"
    found = expand(read_grid(path), str(path))
    assert len(found) == 25
    assert {draft.run.placement.modules for draft in found} == {"down_proj"}
    assert merged({}, found[0].axes).keys() == {"placement.lora_rank", "task.num_answer_tokens"}
