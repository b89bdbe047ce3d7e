import statistics
import subprocess
import sys
from pathlib import Path

import pytest

import byheart
from architecture import FOUNDATION, LONGEST_FILE, ROOMS, broken_rules

PACKAGE = Path(byheart.__file__).parent


def test_the_house_keeps_its_rules():
    assert not list(broken_rules(PACKAGE))


def test_every_room_of_the_plan_exists():
    present = {path.name.removesuffix(".py") for path in PACKAGE.iterdir() if path.name != "__pycache__"}
    assert set(ROOMS) | FOUNDATION <= present


def test_the_median_file_is_short():
    lengths = [len(path.read_text(encoding="utf-8").splitlines()) for path in PACKAGE.rglob("*.py")]
    assert statistics.median(lengths) <= 120


@pytest.mark.parametrize("library", ["torch", "transformers", "peft", "numpy", "pydantic", "yaml", "rich", "typer"])
def test_importing_the_package_loads_nothing_heavy(library, loaded_by_import):
    assert library not in loaded_by_import


@pytest.fixture(scope="module")
def loaded_by_import() -> set[str]:
    code = "import sys, byheart; byheart.__version__; dir(byheart); print('\\n'.join(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return set(ran.stdout.split())


@pytest.mark.parametrize(
    ("file", "source", "told"),
    [
        ("memory/a.py", "from byheart.model.base import Base", "which memory may not"),
        ("memory/a.py", "def f():\n    import byheart.model.base", "which memory may not"),
        ("method/a.py", "from byheart.memory.encode import encode", "which method may not"),
        ("model/a.py", "from byheart.learning.loop import learn", "which model may not"),
        ("learning/a.py", "from byheart.certification.check import certify", "which learning may not"),
        ("certification/a.py", "from byheart.learning.loop import learn", "which certification may not"),
        ("learning/a.py", "from byheart import pipeline", "which learning may not"),
        ("errors.py", "from byheart.memory.record import Record", "which errors may not"),
        ("export/a.py", "import peft", "imports peft, which only model may"),
        ("certification/a.py", "if True:\n    from transformers import GenerationConfig", "imports transformers"),
        ("learning/a.py", "from rich.progress import Progress", "imports rich, which only cli may"),
        ("learning/a.py", "import pickle", "imports pickle"),
        ("learning/a.py", "from ..pipeline import learn", "imports relatively"),
        ("learning/a.py", "import torch\nstate = torch.load('x')", "calls torch.load"),
        ("common/a.py", "", "is in no room of the plan"),
        ("utils.py", "", "is in no room of the plan"),
        ("model/a.py", "x = 1\n" * (LONGEST_FILE + 1), "has 301 lines"),
    ],
)
def test_a_broken_rule_is_found(tmp_path, file, source, told):
    path = tmp_path / "byheart" / file
    path.parent.mkdir(parents=True)
    path.write_text(source)
    [found] = broken_rules(tmp_path / "byheart")
    assert str(Path(file)) in found
    assert told in found


@pytest.mark.parametrize(
    ("file", "source"),
    [
        (
            "memory/a.py",
            "from byheart.errors import ByheartError\nfrom byheart.memory.record import Record\nimport torch",
        ),
        ("model/a.py", "import transformers, peft"),
        ("learning/a.py", "from byheart.model.split import SplitModel"),
        ("cli/main.py", "from byheart.pipeline import learn\nimport typer"),
        ("model/a.py", "x = 1\n" * LONGEST_FILE),
        ("model/a.py", "'''import pickle; torch.load'''"),
    ],
)
def test_what_the_rules_allow_is_let_pass(tmp_path, file, source):
    path = tmp_path / "byheart" / file
    path.parent.mkdir(parents=True)
    path.write_text(source)
    assert not list(broken_rules(tmp_path / "byheart"))
