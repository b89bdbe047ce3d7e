"""What the planner's benchmark counts."""

# pyright: reportMissingImports=false

from dataclasses import replace

import planner
import pytest

from byheart.config import RunConfig
from byheart.errors import SettingsError
from byheart.law.plan import Need, Spans, make_plan
from byheart.law.recall import fit_recall
from byheart.memory.records import Memory
from byheart.sweep.grid import expand, read_grid
from plans_for_tests import saturated_or_lost
from reproductions_for_tests import cell_result

CELLS = saturated_or_lost()


def planned(num_pairs: int, ranks=(1, 2, 4, 8, 16)) -> planner.Planned:
    """A phone book and its plan."""
    memory = Memory.from_pairs([(f"{number}?", str(number)) for number in range(num_pairs)])
    task = planner.parse({"name": "phonebook", "num_pairs": num_pairs}).model_dump(mode="json")
    need, spans = Need(num_pairs, 20 * num_pairs, 5.0), Spans.of(CELLS)
    plan = make_plan(
        need, ranks, [(fit_recall(CELLS), None)], None, spans, parameters_per_rank=9, bytes_per_parameter=2
    )
    return planner.Planned(planner.Unseen(f"phonebook {num_pairs}", task, memory), plan)


def kept(each: planner.Planned, rank: int, num_certified: int):
    """What is kept of a run of that memory."""
    num_records = len(each.unseen.memory)
    result = cell_result(each.unseen.task, rank=rank, num_records=num_records, num_certified=num_certified)
    return planner.run(each, result)


def test_each_memory_is_learnt_at_the_planned_rank_and_at_a_quarter():
    some = [planned(3), planned(8)]
    drafts = expand(read_grid(planner.grid_of(some, {"placement": {"layers": "20"}})))
    asked = [(draft.task.model_dump()["num_pairs"], draft.run.placement.lora_rank) for draft in drafts]
    assert asked == [
        (num_pairs, each.plan.lora_rank // share)
        for num_pairs, each in zip((3, 8), some, strict=True)
        for share in (1, 4)
        if each.plan.lora_rank >= share
    ]
    assert {draft.run.placement.layers for draft in drafts} == {"20"}


def test_a_planned_rank_of_less_than_four_has_no_quarter_and_says_so():
    each = planned(3, ranks=(2,))
    sections = planner.grid_of([each], {})["grids"]
    assert sections[0]["axes"] == {"lora_rank": [2]}
    whole, quarter = planner.rows_of([each], [kept(each, 2, 3)])
    assert (whole["lora_rank"], whole["is_whole"]) == (2, True)
    assert (quarter["lora_rank"], "is_whole" in quarter) == (0, False)


def test_a_result_is_told_of_its_own_memory_and_rank():
    three, eight = planned(3, ranks=(8,)), planned(8, ranks=(8,))
    rows = planner.rows_of([three, eight], [kept(eight, 2, 5), kept(three, 8, 3)])
    assert [(row["memory"], row["share"], row["lora_rank"], row["is_whole"]) for row in rows] == [
        ("phonebook 3", 1.0, 8, True),
        ("phonebook 8", 0.25, 2, False),
    ]
    assert rows[0]["probability"] == three.plan.chosen.probability
    assert rows[1]["probability"] is None, "of a rank that the plan was not asked for"


def test_what_is_done_is_not_run_again_whatever_the_plan_is_now():
    before, now = planned(3, ranks=(8,)), planned(3, ranks=(4,))
    runs = [kept(before, 8, 3), kept(before, 2, 1)]
    assert planner.grid_of([before], {}, runs)["grids"] == []
    (section,) = planner.grid_of([now], {}, [*runs, kept(now, 1, 0)])["grids"]
    assert section["axes"] == {"lora_rank": [4]}
    changed = replace(before, unseen=replace(before.unseen, memory=planned(4).unseen.memory))
    assert planner.grid_of([changed], {}, runs)["grids"][0]["axes"] == {"lora_rank": [8, 2]}


@pytest.mark.parametrize(
    ("config", "differs"),
    [
        ({"layers": "24"}, "layers"),
        ({"layers": "20", "config": {"learn": {"learning_rate": 0.1}}}, "settings"),
        ({"layers": "20", "config": {"method": {"margin": 0.1}}}, "settings"),
    ],
    ids=str,
)
def test_runs_of_something_else_are_not_mixed_in(tmp_path, tiny_base, config, differs):
    path = tmp_path / "planner.json"
    head = planner.head_of(RunConfig.build(None, layers="20"), tiny_base.identity)
    assert planner.measure.earlier(path, head) is None
    planner.measure.write(path, {**head, "runs": []})
    assert planner.measure.earlier(path, head) == {**head, "runs": []}
    other = RunConfig.build(config.get("config"), layers=config["layers"])
    with pytest.raises(SystemExit, match=f"another {differs}; give another --out"):
        planner.measure.earlier(path, planner.head_of(other, tiny_base.identity))


def test_smaller_memories_are_told_beside_the_bars_and_are_in_none():
    small = replace(planned(3, ranks=(8,)), unseen=replace(planned(3).unseen, is_smaller=True))
    rows = planner.rows_of([small], [kept(small, 8, 3)])
    assert [row["share"] for row in rows] == [1.0]
    sums = planner.verdict(rows_of(20, 20, 0, 20) + rows)
    assert (sums["num_memories"], sums["num_smaller"], sums["num_whole_smaller"]) == (20, 1, 1)
    assert planner.bars(sums).endswith("Of smaller ones, at the planned rank, 1 of 1 are whole.")


def rows_of(whole, num_planned, quarter, num_quartered):
    """So many runs, the first of them whole; memories that have no quarter follow those that have one."""
    rows: list[dict] = [
        {"share": 1.0, "lora_rank": 4, "is_whole": number < whole, "is_reached": True} for number in range(num_planned)
    ]
    rows += [{"share": 0.25, "lora_rank": 1, "is_whole": number < quarter} for number in range(num_quartered)]
    rows += [{"share": 0.25, "lora_rank": 0}] * (num_planned - num_quartered)
    return [{**row, "is_smaller": False} for row in rows]


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


def test_there_are_twenty_memories_and_each_has_its_size(tiny_base, tmp_path):
    all_of_them = list(planner.unseen(tiny_base.tokenizer, tmp_path, quick=False))
    memories = [each for each in all_of_them if not each.is_smaller]
    assert len(all_of_them) - len(memories) == sum(map(len, planner.SMALLER_SIZES.values()))
    assert len({each.name for each in memories}) == len({each.memory.fingerprint for each in memories}) == 20
    assert [len(each.memory) for each in memories[:5]] == list(planner.SIZES["phonebook"])
    made = [planner.build(planner.parse(each.task), tiny_base.tokenizer).fingerprint for each in memories]
    assert made == [each.memory.fingerprint for each in memories]


def test_a_text_that_cannot_be_cut_is_told(tiny_base, monkeypatch, tmp_path):
    def refuse(*_):
        raise SettingsError("no")

    monkeypatch.setattr(planner, "build", refuse)
    with pytest.raises(SystemExit, match="just 50 tokens"):
        planner._cut("a\nb\n", 50, tiny_base.tokenizer, tmp_path / "piece.txt")
