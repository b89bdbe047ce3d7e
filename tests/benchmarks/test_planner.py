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
    assert not sums["is_as_wanted"]


def test_what_is_there_is_not_run_again():
    rows: list[dict] = []
    planner.run([of(8)], plan, learn, rows, lambda _: None)
    planner.run([of(8)], plan, lambda *_: pytest.fail("ran again"), rows, lambda _: None)
    assert len(rows) == 2


@pytest.mark.parametrize(("whole", "quarter", "is_wanted"), [(18, 4, True), (17, 4, False), (18, 5, False)])
def test_the_bars(whole, quarter, is_wanted):
    rows = [{"share": 1.0, "lora_rank": 4, "is_whole": number < whole} for number in range(20)]
    rows += [{"share": 0.25, "lora_rank": 1, "is_whole": number < quarter} for number in range(20)]
    assert planner.verdict(rows)["is_as_wanted"] == is_wanted


def test_a_rank_without_a_quarter_counts_for_nothing_there():
    rows = [{"share": 1.0, "lora_rank": 2, "is_whole": True}, {"share": 0.25, "lora_rank": 0}]
    assert planner.verdict(rows)["num_quartered"] == 0


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
