"""The example records are what their script makes, and can be learnt; the example grids can be swept."""

import math
import re
import subprocess
import sys
from pathlib import Path

import pytest

from byheart.memory.records import Memory
from byheart.sweep.grid import expand, read_grid

EXAMPLES = Path(__file__).parent.parent / "examples"


def test_the_contacts_are_what_their_script_makes():
    script = [sys.executable, str(EXAMPLES / "make_contacts.py")]
    made = subprocess.run(script, capture_output=True, check=True, timeout=60).stdout
    assert made == (EXAMPLES / "contacts.jsonl").read_bytes()


def test_the_contacts_are_a_hundred_numbers():
    memory = Memory.from_file(EXAMPLES / "contacts.jsonl")
    assert len(memory) == 100
    assert len({record.answer for record in memory}) == 100
    for record in memory:
        assert re.fullmatch(r"[A-Z][a-z]+ [A-Z][a-z]+:", str(record.prompt))
        assert re.fullmatch(r"[1-9][0-9]{9}", record.answer)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.name)
def test_a_grid_has_as_many_cells_as_its_first_line_says(path):
    told = re.search(r"(\d+) cells", path.read_text(encoding="utf-8").splitlines()[0])
    assert told is not None
    assert len(expand(read_grid(path), path.name)) == int(told[1])


def test_the_laws_bars_have_sixteen_cells_for_each_of_three_kinds_of_text():
    drafts = expand(read_grid(EXAMPLES / "law_bars.yaml"))
    ratios = [draft.task.model_dump()["random_ratio"] for draft in drafts]
    assert {ratio: ratios.count(ratio) for ratio in ratios} == {1.0: 16, 0.8: 16, 0.6: 16}
    assert {draft.run.method.name for draft in drafts} == {"sft"}


def test_the_phone_books_of_the_law_all_get_three_thousand_steps():
    drafts = expand(read_grid(EXAMPLES / "law_phonebook.yaml"))
    steps = [
        draft.run.learn.epochs * math.ceil(draft.task.model_dump()["num_pairs"] / draft.run.learn.batch_size)
        for draft in drafts
    ]
    assert steps == pytest.approx([3000] * len(drafts), rel=0.01)


def test_there_are_eight_scenarios():
    memory = Memory.from_file(EXAMPLES / "scenarios.jsonl")
    assert [record.id for record in memory] == [
        "personal-credentials",
        "legal-compliance",
        "medical-coding",
        "model-watermark",
        "cloud-configuration",
        "academic-citation",
        "security-secret",
        "software-licence-key",
    ]
