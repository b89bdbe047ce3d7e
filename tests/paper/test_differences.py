from byheart.paper.differences import differences, from_published, sentences
from byheart.paper.findings import Finding
from reproductions_for_tests import cell_result


def finding(task, method="sft", **changed) -> Finding:
    result = cell_result(task, method, **changed)
    assert result.measured is not None
    return Finding(result, result.measured)


def plain(**changed):
    result = cell_result({"name": "phonebook", "num_answer_tokens": 100}, **changed)
    return {"run": result.run, "task": result.task}


def test_only_what_differs_is_named_and_the_rank_is_not():
    assert differences([plain(rank=1)], [plain(rank=8)]) == {}
    assert differences([plain(epochs=60)], [plain(epochs=200)]) == {"epochs": "60, not 200"}


def test_cells_are_held_against_those_of_their_own_method_and_task():
    found = from_published([finding({"name": "phonebook", "num_answer_tokens": 1000})], "qwen3-8b", "phonebook")
    assert found["batch"] == "10×1, not 4×1, 8×1, 16×1"
    assert found["epochs"] == "50, not 200"
    assert "random ratio" not in found
    assert "byheart's own" in found["data"]
    long = from_published([finding({"name": "long-context", "num_answer_tokens": 50})], "qwen3-8b", "law")
    assert long["epochs"] == "50, not 2000"


def test_the_published_preset_differs_from_itself_in_its_data_alone():
    from byheart.paper.preset import read_preset

    drafts = read_preset("llama-3.1-8b").drafts("scenarios")
    cells = [{"run": draft.run.model_dump(mode="json"), "task": draft.task.model_dump(mode="json")} for draft in drafts]
    assert differences(cells, cells) == {}


def test_notes_say_once_what_all_have_in_common():
    apart = {"SFT": {"model": "a, not b"}, "OT": {"model": "a, not b", "rate": "1, not 2"}}
    assert sentences(apart) == [
        "all cells differ from the paper in: model (a, not b)",
        "OT differs from the paper in: rate (1, not 2)",
    ]


def test_a_note_of_several_is_in_the_plural():
    own = {"rate": "1, not 2"}
    assert sentences(
        {"SFT": {"model": "a, not b"}, "OT": {"model": "a, not b", **own}, "SW": {"model": "a, not b", **own}}
    )[1:] == ["OT; SW differ from the paper in: rate (1, not 2)"]
