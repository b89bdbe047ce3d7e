"""What the planner's benchmark counts."""

# pyright: reportMissingImports=false

import planner
import pytest

from byheart.errors import SettingsError
from byheart.law.plan import Need, Plan, Spans, make_plan
from byheart.law.recall import fit_recall
from byheart.memory.records import Memory
from plans_for_tests import saturated_or_lost

CELLS = saturated_or_lost()


def plan(memory: Memory) -> Plan:
    need = Need(len(memory), 20 * len(memory), 5.0)
    spans = Spans.of(CELLS)
    return make_plan(
        need, (1, 2, 4, 8, 16), fit_recall(CELLS), None, spans, parameters_per_rank=9, bytes_per_parameter=2
    )


def of(num_records: int) -> planner.Unseen:
    pairs = [(f"{number}?", str(number)) for number in range(num_records)]
    return planner.Unseen(f"numbers {num_records}", Memory.from_pairs(pairs))


def learn(memory, rank):
    """Holds one record a rank."""
    return {"num_records": len(memory), "num_certified": min(len(memory), rank), "epochs": 1, "train_seconds": 1.0}


def test_each_memory_is_learnt_at_the_planned_rank_and_at_a_quarter():
    rows: list[dict] = []
    planner.run([of(3), of(8)], plan, learn, rows, lambda _: None)
    ranks = [plan(of(count).memory).lora_rank for count in (3, 8)]
    assert [row["lora_rank"] for row in rows] == [ranks[0], ranks[0] // 4, ranks[1], ranks[1] // 4]
    sums = planner.verdict(rows)
    assert sums["num_memories"] == 2
    assert sums["num_whole_at_plan"] == sum(rank >= count for rank, count in zip(ranks, (3, 8), strict=True))
    assert sums["num_whole_at_quarter"] == 0
    assert (sums["is_right"], sums["is_not_generous"]) == (None, None), "two of twenty decide nothing"


def test_what_is_there_is_not_run_again():
    rows: list[dict] = []
    planner.run([of(8)], plan, learn, rows, lambda _: None)
    planner.run([of(8)], plan, lambda *_: pytest.fail("ran again"), rows, lambda _: None)
    assert len(rows) == 2


def rows_of(whole, num_planned, quarter, num_quartered):
    """So many runs, the first of them whole; memories that have no quarter follow those that have one."""
    rows: list[dict] = [
        {"share": 1.0, "lora_rank": 4, "is_whole": number < whole, "is_reached": True} for number in range(num_planned)
    ]
    rows += [{"share": 0.25, "lora_rank": 1, "is_whole": number < quarter} for number in range(num_quartered)]
    return rows + [{"share": 0.25, "lora_rank": 0}] * (num_planned - num_quartered)


@pytest.mark.parametrize(
    ("whole", "num_planned", "is_right"),
    [(18, 20, True), (17, 20, False), (18, 18, True), (17, 19, None), (4, 4, None), (1, 4, False)],
)
def test_the_bar_at_the_planned_rank(whole, num_planned, is_right):
    assert planner.verdict(rows_of(whole, num_planned, 0, num_planned))["is_right"] is is_right


@pytest.mark.parametrize(
    ("quarter", "num_quartered", "is_not_generous"),
    [(4, 20, True), (5, 20, False), (0, 19, None), (0, 0, None), (5, 6, False)],
)
def test_the_bar_at_a_quarter_takes_all_twenty(quarter, num_quartered, is_not_generous):
    sums = planner.verdict(rows_of(20, 20, quarter, num_quartered))
    assert sums["is_not_generous"] is is_not_generous
    assert (sums["num_quartered"], sums["num_whole_at_quarter"]) == (num_quartered, quarter)


def test_a_bar_that_is_open_is_said_to_be():
    told = planner.bars(planner.verdict(rows_of(19, 20, 1, 12))).splitlines()
    assert told[0] == "- At the planned rank at least 18 of 20 are whole: holds, 19 of 20 that were run."
    assert "open, 1 of 12 that were run; it takes all 20, and ranks 1 to 3 have no quarter." in told[1]
    told = planner.bars(planner.verdict(rows_of(19, 20, 4, 20)))
    assert told.endswith("At a quarter of it at most 4 of 20 are: holds, 4 of 20 that were run.")


def test_the_bars_are_of_as_many_memories_as_there_are():
    assert sum(map(len, planner.SIZES.values())) == planner.NUM_MEMORIES


def test_there_are_twenty_memories_and_each_has_its_size(tiny_base):
    memories = list(planner.unseen(tiny_base.tokenizer, quick=False))
    assert len({each.name for each in memories}) == len({each.memory.fingerprint for each in memories}) == 20
    assert [len(each.memory) for each in memories[:5]] == list(planner.SIZES["phonebook"])


def test_a_text_that_cannot_be_cut_is_told(tiny_base, monkeypatch):
    def refuse(*_):
        raise SettingsError("no")

    monkeypatch.setattr(planner, "build", refuse)
    with pytest.raises(SystemExit, match="just 50 tokens"):
        planner._cut("a\nb\n", 50, tiny_base.tokenizer)
