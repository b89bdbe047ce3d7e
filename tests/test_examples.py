"""The example records are what their script makes, and can be learnt."""

import re
import subprocess
import sys
from pathlib import Path

from byheart.memory.records import Memory

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
