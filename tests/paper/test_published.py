from typing import get_args

import pytest

from byheart.method.config import MethodName
from byheart.paper import published
from byheart.tasks.scenarios import SCENARIOS


def test_table_1_and_the_single_numbers():
    fits = published.TABLE1
    told = {
        (model, group): (fit.r_squared.value, fit.mape_percent.value)
        for model, groups in fits.items()
        for group, fit in groups.items()
    }
    assert told == {
        ("llama-3.1-8b", "long-context"): (0.987, 7.057),
        ("llama-3.1-8b", "phonebook"): (0.981, 1.606),
        ("qwen3-8b", "long-context"): (0.983, 8.320),
        ("qwen3-8b", "phonebook"): (0.990, 0.476),
    }
    assert (published.SPEARMAN.value, published.FIGURE2_R_SQUARED.value) == (0.908, 0.996)


@pytest.mark.parametrize(
    ("table", "model", "form", "values"),
    [
        (published.TABLE2_LONG_CONTEXT, "qwen3-8b", "MemFT-OT", {6: 38.5, 12: 91.1, 16: 100}),
        (published.TABLE2_LONG_CONTEXT, "llama-3.1-8b", "MemFT-SW", {1: 32.5, 16: 81.1}),
        (published.TABLE2_PHONEBOOK, "llama-3.1-8b", "SFT", {1: 0.50, 2: 3.85, 64: 59.3}),
        (published.TABLE2_PHONEBOOK, "qwen3-8b", "MemFT-SW", {1: 8.45, 32: 99.5, 64: 100}),
    ],
)
def test_table_2_by_model_method_and_rank(table, model, form, values):
    row = table[model][form]
    assert {rank: row[rank].value for rank in values} == values
    assert all(each.mark == "3" and each.doubt for each in row.values())


def test_table_3():
    memory, unseen = published.TABLE3_MEMORY, published.TABLE3_GENERALISATION
    assert [each.value for each in memory["SFT"].values()] == [83, 100, 99, 100, 100]
    assert [each.value for each in memory["MemFT-OT"].values()] == [95, 97, 100, 99, 100]
    assert [each.value for each in unseen["SFT"].values()] == [19, 38, 46, 39, 41]
    assert [each.value for each in unseen["MemFT-OT"].values()] == [34, 47, 53, 49, 54]
    assert all("MemFT is not said" in each.doubt for each in memory["MemFT-OT"].values())


def test_every_scenario_of_ours_has_a_domain_of_the_papers():
    assert [record.id for record in SCENARIOS] == list(published.TABLE4_SCENARIOS)


def test_every_method_has_a_form():
    assert set(published.FORMS) == set(get_args(MethodName))


def test_the_disagreement_of_the_sources_is_told():
    [doubtful] = [run for run in published.STAGED["qwen3-8b"] if run.doubt]
    assert (doubtful.num_answer_tokens, doubtful.boundaries) == (4000, (30, 60, 90, 120, 350))
    assert "20, 40, 60, 80, 350" in doubtful.doubt
