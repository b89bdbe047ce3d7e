"""The tables of results that nobody measured: every number is known beforehand."""

import csv
import io
from typing import Any

import pytest

from byheart.paper.claim_table import claims
from byheart.paper.law_tables import law_fits, table1
from byheart.paper.method_tables import table2
from byheart.paper.preset import read_preset
from byheart.paper.staged_tables import staged_table
from byheart.paper.task_tables import table3, table4
from reproductions_for_tests import cell_result, failed, findings_of, tokens_of


def rows_of(table) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(table.to_csv())))


@pytest.fixture
def law_cells():
    """Cells on ΔL = 26·r^0.6·ℓ^-0.5 + 0.3, one of them saturated and one failed."""
    cells = []
    for rank in (1, 2, 4):
        for length in (50, 100, 200):
            drop = 26 * rank**0.6 * length**-0.5 + 0.3
            numbers = {"nll_before_nats": 12.0, "nll_after_nats": 12.0 - drop, "num_answer_tokens": length}
            task = {"name": "long-context", "num_answer_tokens": length, "random_ratio": 1.0}
            cells.append(cell_result(task, rank=rank, **numbers))
    full = {"nll_before_nats": 12.0, "nll_after_nats": 0.1, "num_answer_tokens": 50}
    task = {"name": "long-context", "num_answer_tokens": 50, "random_ratio": 1.0}
    return [*cells, cell_result(task, rank=16, **full), failed(cell_result(task, rank=32))]


def test_table_1_finds_the_law_and_stands_beside_the_published(law_cells, tmp_path):
    findings = findings_of(tmp_path, {"law": law_cells})
    [row] = rows_of(table1(findings, law_fits(findings)))
    assert row["group"] == "long texts, all ratios"
    assert (row["num_fitted"], row["num_saturated"], row["num_failed"]) == ("9", "1", "1")
    assert float(row["rank_exponent"]) == pytest.approx(0.6, abs=1e-3)
    assert float(row["length_exponent"]) == pytest.approx(0.5, abs=1e-3)
    assert float(row["r_squared"]) > 0.999
    assert (row["published_r_squared"], row["published_mape_percent"]) == ("0.983", "8.32")
    assert "model" in row["differs_in"].split(", ")


def test_table_1_says_why_there_is_no_law(law_cells, tmp_path):
    findings = findings_of(tmp_path, {"law": law_cells[:4]})
    table = table1(findings, law_fits(findings))
    assert rows_of(table)[0]["r_squared"] == ""
    assert any("not fitted" in note and "at least 6 are needed" in note for note in table.notes)


def test_table_2_averages_sizes_within_a_seed_and_seeds_into_an_interval(tmp_path):
    def cell(size, seed, exact):
        task = {"name": "phonebook", "num_answer_tokens": size}
        return cell_result(task, "memft-ot", 2, seed, num_answer_tokens=size + 10, exact_match=exact)

    cells = [cell(100, 1, 0.2), cell(200, 1, 0.0), cell(100, 2, 0.4), cell(200, 2, 0.1)]
    whole, largest = rows_of(table2(findings_of(tmp_path, {"phonebook": cells})))
    assert whole["part"] == "PhoneBook, as published"
    assert (whole["method"], whole["sizes"], whole["num_seeds"]) == ("MemFT-OT", "100 to 200 (2)", "2")
    assert float(whole["ours_percent"]) == pytest.approx(17.5)  # of 10 % and 25 %
    assert float(whole["high_percent"]) == pytest.approx(100)
    assert float(whole["low_percent"]) == pytest.approx(0)
    assert (whole["published_percent"], whole["published_source"]) == ("19.1", "3")
    assert (largest["sizes"], float(largest["ours_percent"])) == ("200", pytest.approx(5))


def test_table_2_keeps_the_two_comparisons_apart(tmp_path):
    task = {"name": "phonebook", "num_answer_tokens": 100}
    short, long = cell_result(task, rank=1, epochs=60), cell_result(task, rank=1, epochs=120)
    rows = rows_of(table2(findings_of(tmp_path, {"phonebook": [short], "phonebook-equal": [long]})))
    assert [(row["part"], row["epochs"]) for row in rows] == [
        ("PhoneBook, as published", "60"),
        ("PhoneBook, equal budget", "120"),
    ]


def test_at_equal_budget_too_the_published_numbers_are_of_the_published_budget(tmp_path):
    task = {"name": "phonebook", "num_answer_tokens": 1000}
    [row] = rows_of(table2(findings_of(tmp_path, {"phonebook-equal": [cell_result(task, epochs=300)]})))
    assert "epochs" in row["differs_in"].split(", "), "the paper's plain fine-tuning had 200"


def test_cells_that_failed_are_told_below_the_table(tmp_path):
    task = {"name": "phonebook", "num_answer_tokens": 100}
    cells = [cell_result(task), failed(cell_result(task, rank=2))]
    table = table2(findings_of(tmp_path, {"phonebook": cells}))
    assert "PhoneBook, as published: 1 cells failed and are in no mean" in table.notes


def test_a_row_tells_the_sizes_of_its_own_rank(tmp_path):
    sizes = {1: (100, 200), 2: (100,)}
    cells = [
        cell_result({"name": "phonebook", "num_answer_tokens": size}, rank=rank)
        for rank, own in sizes.items()
        for size in own
    ]
    rows = rows_of(table2(findings_of(tmp_path, {"phonebook": cells})))
    assert [(row["lora_rank"], row["sizes"]) for row in rows[:2]] == [("1", "100 to 200 (2)"), ("2", "100")]


def test_a_rank_that_the_paper_does_not_have_stands_alone(tmp_path):
    cells = [cell_result({"name": "phonebook", "num_answer_tokens": 100}, rank=3)]
    [row] = rows_of(table2(findings_of(tmp_path, {"phonebook": cells})))
    assert (row["lora_rank"], row["published_percent"]) == ("3", "")


def test_table_3_has_memory_of_the_cell_and_generalisation_of_its_unseen_pairs(tmp_path):
    task = {"name": "linear-rule", "num_pairs": 4, "num_unseen": 4}
    cell = cell_result(task, "sft", 1, exact_match=0.75, unseen_exact_match=0.25)
    memory, unseen = rows_of(table3(findings_of(tmp_path, {"linear-rule": [cell]})))
    assert (memory["quantity"], memory["ours_percent"], memory["published_percent"]) == ("memory", "75.0", "83.0")
    assert (unseen["quantity"], unseen["ours_percent"], unseen["published_percent"]) == (
        "generalisation",
        "25.0",
        "19.0",
    )


def test_table_4_reads_each_text_from_the_tokens(tmp_path):
    cell = cell_result({"name": "scenarios"}, "memft-ot", 16)
    texts = [[0.9, 0.8], [0.9, 0.45, 0.2], *[[0.7]] * 6]
    table = table4(findings_of(tmp_path, {"scenarios": [cell]}, {cell.name: tokens_of(*texts)}))
    rows = rows_of(table)
    assert len(rows) == 8
    assert (rows[0]["scenario"], rows[0]["recalled_share"], rows[0]["first_failure_position"]) == (
        "personal credentials",
        "1.0",
        "",
    )
    assert (rows[1]["recalled_share"], rows[1]["num_stubborn"], rows[1]["first_failure_position"]) == ("0.0", "2", "2")
    assert float(rows[1]["min_probability"]) == pytest.approx(0.2)


def test_table_5_puts_the_presets_settings_beside_the_papers():
    same = rows_of(staged_table("table5", read_preset("qwen3-8b")))
    assert len(same) == 8
    assert all(row["differs_in"] == "" and row["published_batch"] == row["ours_batch"] for row in same)
    other = rows_of(staged_table("table6", read_preset("qwen3-8b")))
    assert other[2]["differs_in"] == "rate, epochs, batch, stages"
    small = {row["num_answer_tokens"]: row for row in rows_of(staged_table("table5", read_preset("small")))}
    [size] = (row["num_answer_tokens"] for row in small.values() if row["published_epochs"] == "")
    assert int(size) < 1000, "a size that the paper does not have"
    assert small["1000"]["ours_epochs"] == ""
    assert small[size]["ours_boundaries"].endswith(small[size]["ours_epochs"])


def test_the_claim_is_counted_over_every_cell_once(tmp_path):
    first = cell_result({"name": "scenarios"})
    second = cell_result({"name": "long-context", "num_answer_tokens": 3})
    tokens = {first.name: tokens_of([0.9, 0.3]), second.name: tokens_of([0.45, 0.9, 0.2])}
    results: dict[Any, Any] = {"law": [second], "long-context": [second], "scenarios": [first]}
    rows = {row["task"]: row for row in rows_of(claims(findings_of(tmp_path, results, tokens)))}
    assert {name: row["num_positions"] for name, row in rows.items()} == {
        "long-context": "3",
        "scenarios": "2",
        "all": "5",
    }
    assert (rows["all"]["num_above"], rows["all"]["num_counterexamples"], rows["all"]["num_argmax_below"]) == (
        "2",
        "0",
        "1",
    )
    assert rows["long-context"]["published_spearman"] == "0.908"
