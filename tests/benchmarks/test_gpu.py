# pyright: reportMissingImports=false
import sys

import gpu
import pytest
from peers.card import described
from peers.gpu_sides import FUSED, sides
from peers.shapes import SHAPES

CARD = {"device": "cuda", "device_name": "a card", "bf16_flops": 1e14, "liger_kernel": None, "torch": "2"}


def epochs(*seconds_and_shares):
    return [{"seconds": seconds, "share": share, "loss": 3.0} for seconds, share in seconds_and_shares]


def run(name: str, history, **changed):
    engine = {
        "cut": 24,
        "skips_unread": True,
        "num_shared": 20,
        "batch_size": 10,
        "num_words": 1200,
        "fused_loss": True,
    }
    return {
        "name": name,
        "job": {"num_records": 100},
        "engine": {} if name == "authors" else engine,
        "history": history,
        "is_exact": False,
        "epochs": len(history),
        "seconds": history[-1]["seconds"],
        "num_parameters": 1000,
        "num_tokens": 4000,
        "num_answer_tokens": 1100,
        "peak_device_bytes": 18e9,
        "model_device_bytes": 16e9,
        "peak_above_model_bytes": None,
        **changed,
    }


def row(name: str, *runs, card=CARD):
    shape = SHAPES["qwen3-8b"]
    return gpu.row(name, sides(shape, 20, None)[name], shape, card, list(runs))


def test_the_first_epoch_is_not_counted_and_one_of_half_the_records_is_half_a_pass():
    assert gpu.seconds_a_pass(epochs((100.0, 1), (104.0, 1), (106.0, 0.5))) == pytest.approx(4.0)


def test_a_row_says_tokens_a_second_memory_and_utilisation():
    found = row("byheart", run("byheart", epochs((50.0, 1), (52.0, 1), (54.0, 1))))
    assert found["tokens_a_second"] == pytest.approx(2000)
    assert found["peak_above_model_bytes"] == pytest.approx(2e9)
    assert found["utilisation"] == pytest.approx(found["flops_a_pass"] / 2 / 1e14)


def test_a_row_tells_the_worst_end_of_its_runs():
    history = epochs((50.0, 1), (52.0, 1))
    exact, not_exact = run("authors", history, is_exact=True), run("authors", history)
    assert not row("authors", exact, not_exact)["is_exact"]


def test_the_authors_take_more_arithmetic_than_byheart_does():
    history = epochs((50.0, 1), (52.0, 1))
    ours, theirs = row("byheart", run("byheart", history)), row("authors", run("authors", history))
    assert theirs["flops_a_pass"] > 5 * ours["flops_a_pass"]


@pytest.mark.parametrize(("liger", "said"), [(None, "liger-kernel was not there"), ("0.8", "liger-kernel 0.8 was")])
def test_the_table_says_whether_liger_kernel_was_there(liger, said):
    card = {**CARD, "liger_kernel": liger}
    report = {
        "rows": [row("byheart", run("byheart", epochs((50.0, 1), (52.0, 1))))],
        "card": card,
        "num_records": 100,
        "records": "PB.jsonl",
        "shape": {"name": "qwen3-8b"},
    }
    assert said in gpu.text(report)
    assert "loss 3.00 after 2 epochs, 52 s" in gpu.text(report)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--num-records", "101"], "has 100 records, 101 are asked for"),
        (["--max-epochs", "1"], "give at least 2"),
        (["--sides", "trl"], "no side trl"),
    ],
)
def test_what_cannot_be_run_is_refused_before_any_work(arguments, said, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--shape", "tiny", *arguments])
    with pytest.raises(SystemExit):
        gpu.main()
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("fused", [True, False])
def test_a_loss_that_was_not_fused_after_all_is_told(fused):
    outcome = run(FUSED, epochs((50.0, 1), (52.0, 1)))
    outcome["engine"] = {**outcome["engine"], "fused_loss": fused}
    card = {**CARD, "liger_kernel": "1"}
    report = {"rows": [row(FUSED, outcome)], "card": card, "num_records": 100, "records": "x", "shape": {"name": "y"}}
    assert ("was left out: byheart, layer 24" in gpu.text(report)) is not fused


def test_a_device_is_described_by_what_it_multiplies(monkeypatch):
    monkeypatch.setattr("peers.card.SIDE", {"cpu": 64})
    assert described("cpu", 1)["bf16_flops"] > 0


def test_a_card_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(SystemExit, match="--shape tiny"):
        described("cuda", 1)
