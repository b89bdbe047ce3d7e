import math
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from byheart.errors import SettingsError
from byheart.settings import Settings, merged, read_yaml


class Oven(Settings):
    heat: float = Field(default=180.0, gt=0, le=300)
    mode: Literal["fan", "grill"] = "fan"


class Kitchen(Settings):
    oven: Oven = Oven()
    spare: Oven | None = None
    ovens: tuple[Oven, ...] = ()
    num_cooks: int = Field(default=1, ge=1)
    area: float = Field(default=9.0, gt=0)


def told(values: Any, source: str = "settings") -> str:
    with pytest.raises(SettingsError) as caught:
        Kitchen.parse(values, source)
    return str(caught.value)


def test_values_become_settings() -> None:
    assert Kitchen.parse({"oven": {"heat": 200}, "num_cooks": 2}) == Kitchen(oven=Oven(heat=200.0), num_cooks=2)


def test_nothing_given_is_all_defaults() -> None:
    assert Kitchen.parse({}) == Kitchen()


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError):
        Kitchen().num_cooks = 3  # pyright: ignore[reportAttributeAccessIssue]


def test_an_unknown_key_names_the_nearest() -> None:
    expected = (
        "settings: unknown setting 'num_cook' (did you mean 'num_cooks'?); allowed: oven, spare, ovens, num_cooks, area"
    )
    assert told({"num_cook": 2}) == expected


def test_an_unknown_nested_key_names_the_nearest_by_its_whole_path() -> None:
    expected = "settings: unknown setting 'oven.heet' (did you mean 'oven.heat'?); allowed: oven.heat, oven.mode"
    assert told({"oven": {"heet": 2}}) == expected


def test_an_unknown_key_in_an_optional_record_names_the_nearest() -> None:
    assert "did you mean 'spare.heat'?" in told({"spare": {"heet": 2}})


def test_an_unknown_key_in_a_list_of_records_names_the_nearest() -> None:
    assert "did you mean 'ovens.1.heat'?" in told({"ovens": [{}, {"heet": 2}]})


@pytest.mark.parametrize("heat", [0.0, -5.0, 300.5, math.inf, -math.inf, math.nan])
def test_a_value_out_of_range_is_named_with_its_key(heat: float) -> None:
    message = told({"oven": {"heat": heat}})
    assert message.startswith("settings: oven.heat: ")
    assert message.endswith(f"(got {heat!r})")


@pytest.mark.parametrize("area", [math.inf, math.nan])
def test_a_number_that_is_not_finite_is_refused_whatever_its_range(area: float) -> None:
    assert told({"area": area}) == f"settings: area: Input should be a finite number (got {area!r})"


def test_a_value_that_is_none_of_the_choices_is_told_with_the_choices() -> None:
    message = told({"oven": {"mode": "steam"}})
    assert "'fan' or 'grill'" in message
    assert "got 'steam'" in message


def test_a_value_of_the_wrong_type_is_named() -> None:
    assert "num_cooks: " in told({"num_cooks": "many"})
    assert "got 'many'" in told({"num_cooks": "many"})


def test_something_other_than_a_mapping_is_refused() -> None:
    assert told([1, 2]).startswith("settings: Kitchen: ")


def test_everything_wrong_is_told_at_once_each_line_with_its_source() -> None:
    lines = told({"num_cook": 2, "oven": {"heat": -1, "fan": True}}, "kitchen.yaml").splitlines()
    assert len(lines) == 3
    assert all(line.startswith("kitchen.yaml: ") for line in lines)


# Settings have one shape: where one mapping has a section, another has no plain value.
VALUES = st.dictionaries(st.sampled_from("abc"), st.integers(), max_size=3)
MAPPINGS = st.recursive(
    VALUES,
    lambda inner: st.builds(
        lambda a, b: {**a, **b}, VALUES, st.dictionaries(st.sampled_from("xyz"), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(MAPPINGS)
def test_merging_with_nothing_changes_nothing(mapping: dict[str, Any]) -> None:
    assert merged(mapping, {}) == mapping
    assert merged({}, mapping) == mapping


@given(MAPPINGS, MAPPINGS)
def test_merging_the_same_twice_is_merging_it_once(base: dict[str, Any], over: dict[str, Any]) -> None:
    assert merged(merged(base, over), over) == merged(base, over)


@given(MAPPINGS, MAPPINGS)
def test_what_is_laid_on_top_wins(base: dict[str, Any], over: dict[str, Any]) -> None:
    result = merged(base, over)
    for key, value in over.items():
        if not isinstance(value, dict):
            assert result[key] == value
    assert result.keys() == base.keys() | over.keys()


def test_mappings_within_mappings_are_merged() -> None:
    over = {"learn": {"epochs": 20}, "model": {"name": "b"}}
    assert merged({"learn": {"epochs": 9, "seed": 1}}, over) == {
        "learn": {"epochs": 20, "seed": 1},
        "model": {"name": "b"},
    }


def test_merging_leaves_what_it_merges_alone() -> None:
    base = {"learn": {"epochs": 9}}
    merged(base, {"learn": {"epochs": 20, "seed": 1}})
    assert base == {"learn": {"epochs": 9}}


def test_a_list_is_replaced_and_not_joined() -> None:
    assert merged({"ratios": [1, 2]}, {"ratios": [3]}) == {"ratios": [3]}


def test_yaml_is_read_as_a_mapping(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("learn:\n  epochs: 20 # Épreuve\n", encoding="utf-8")
    assert read_yaml(path) == {"learn": {"epochs": 20}}


def test_an_empty_yaml_file_is_an_empty_mapping(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("# nothing yet\n", encoding="utf-8")
    assert read_yaml(path) == {}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"- a\n- b\n", "holds a list, expected a mapping"),
        (b"just words", "holds a str, expected a mapping"),
        (b"a: [1, 2", "is not YAML"),
        (b"a: \xff", "cannot read"),
        (b"a: !!python/object/apply:os.system ['true']", "is not YAML"),
    ],
)
def test_a_yaml_file_that_holds_no_settings_is_refused_by_name(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(content)
    with pytest.raises(SettingsError, match=reason) as caught:
        read_yaml(path)
    assert str(path) in str(caught.value)


def test_a_yaml_file_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"cannot read .*missing\.yaml"):
        read_yaml(tmp_path / "missing.yaml")


def test_a_plain_value_where_a_section_belongs_is_never_hidden_by_a_flag():
    with pytest.raises(SettingsError, match="method: 'sft' stands where a mapping"):
        merged({"method": "sft"}, {"method": {"name": "memft-ot"}})


def test_a_key_given_twice_in_yaml_is_refused(tmp_path):
    (tmp_path / "twice.yaml").write_text("learn: {epochs: 3}\nlearn: {batch_size: 2}\n")
    with pytest.raises(SettingsError, match="'learn' is given twice"):
        read_yaml(tmp_path / "twice.yaml")
