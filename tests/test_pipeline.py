import contextlib
import json
import os
import re
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import byheart
from byheart import artifacts, job
from byheart.certification import check
from byheart.certification.check import certify
from byheart.errors import ArtifactError, InterruptedRunError, ModelError, SettingsError
from byheart.export.bundle import Bundle
from byheart.learning import activations
from byheart.learning.best import Look
from byheart.learning.events import Growth
from byheart.learning.state import read_header
from byheart.memory.encode import encode
from byheart.memory.record import Message, Record
from byheart.memory.records import Memory
from byheart.model.base import Base
from byheart.pipeline import learn
from byheart.planning import choice
from byheart.progress import Silent
from conftest import PAIRS
from models_for_tests import placed, small, talking

LEARN = {"epochs": 80, "learning_rate": 0.02, "batch_size": 2, "plateau_epochs": 1000}
METHODS = ["sft", "memft-ot", "memft-sw", "memft-sw-curriculum"]


def taught(memory: Memory, base: Base, out: Path | None = None, **changed) -> Bundle:
    """A run that learns within seconds."""
    learn_section = {**LEARN, **changed.pop("learn", {})}
    arguments = {"layers": "top:1", "lora_rank": 8, **changed}
    config = {**arguments.pop("config", {}), "learn": learn_section}
    return learn(memory, base, out=out, config=config, **arguments)


def short(memory: Memory, base: Base, out: Path | None = None, **changed) -> Bundle:
    """A run of two epochs, which ends with the budget."""
    return taught(memory, base, out, **{**changed, "learn": {"epochs": 2, **changed.get("learn", {})}})


def adapter_bytes(out: Path) -> bytes:
    return (out / "adapter_model.safetensors").read_bytes()


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


@pytest.mark.parametrize("method", METHODS)
def test_every_method_teaches_to_the_letter(tiny_memory, tiny_base, method):
    bundle = taught(tiny_memory, tiny_base, method=method)
    assert bundle.manifest.stop_reason == "certified"
    assert bundle.certificate.num("certified") == len(tiny_memory)
    assert bundle.manifest.settings["method"]["name"] == method


@pytest.mark.parametrize("modules", ["down_proj", "mlp-bypass"])
def test_other_placements_teach_to_the_letter(tiny_memory, tiny_base, tmp_path, modules):
    taught(tiny_memory, tiny_base, tmp_path, modules=modules, lora_rank=32, learn={"epochs": 150})
    for prompt, answer in PAIRS:
        assert byheart.recite(tmp_path, prompt, base=tiny_base) == answer


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_gives_the_same_bytes(tiny_memory, tiny_base, tmp_path, method):
    for name in ("first", "second"):
        torch.manual_seed(len(name))
        short(tiny_memory, tiny_base, tmp_path / name, method=method, config={"placement": {"lora_dropout": 0.1}})
    assert adapter_bytes(tmp_path / "first") == adapter_bytes(tmp_path / "second")


def test_another_seed_gives_other_bytes(tiny_memory, tiny_base, tmp_path):
    for seed in (1, 2):
        short(tiny_memory, tiny_base, tmp_path / str(seed), seed=seed)
    assert adapter_bytes(tmp_path / "1") != adapter_bytes(tmp_path / "2")


def test_activations_on_disk_give_the_same_bytes_and_are_gone_afterwards(tiny_memory, tiny_base, tmp_path):
    short(tiny_memory, tiny_base, tmp_path / "memory")
    short(tiny_memory, tiny_base, tmp_path / "disk", learn={"activation_memory_bytes": 0})
    assert adapter_bytes(tmp_path / "memory") == adapter_bytes(tmp_path / "disk")
    assert {path.name for path in (tmp_path / "disk").iterdir()} == {
        path.name for path in (tmp_path / "memory").iterdir()
    }


def test_activations_on_disk_lie_in_the_runs_own_directory(tiny_memory, tiny_base, tmp_path, monkeypatch):
    used = []
    empty = activations._empty
    monkeypatch.setattr(
        activations, "_empty", lambda shape, dtype, path, device: used.append(path) or empty(shape, dtype, path, device)
    )
    short(tiny_memory, tiny_base, tmp_path, learn={"activation_memory_bytes": 0})
    assert used == [tmp_path / activations.FILE_NAME]


def test_checkpoints_change_nothing(tiny_memory, tiny_base, tmp_path):
    for seconds in (0, 1000):
        short(tiny_memory, tiny_base, tmp_path / str(seconds), learn={"checkpoint_seconds": seconds})
    assert adapter_bytes(tmp_path / "0") == adapter_bytes(tmp_path / "1000")


def test_without_a_place_nothing_is_written(tiny_memory, tiny_base, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bundle = short(tiny_memory, tiny_base)
    assert not list(tmp_path.iterdir())
    bundle.save(tmp_path / "later")
    assert Bundle.read(tmp_path / "later", tiny_base).certificate == bundle.certificate


def test_what_is_returned_is_what_was_written(tiny_memory, tiny_base, tmp_path):
    bundle = short(tiny_memory, tiny_base, tmp_path)
    again = Bundle.read(tmp_path, tiny_base)
    assert again.certificate == bundle.certificate
    assert again.adapter.sha256(torch.float32) == bundle.adapter.sha256(torch.float32)
    assert again.summary() == bundle.summary()


def test_a_failed_memory_is_written_and_says_so(tiny_memory, tiny_base, tmp_path):
    bundle = short(tiny_memory, tiny_base, tmp_path)
    assert bundle.manifest.stop_reason == "budget"
    assert not Bundle.read(tmp_path, tiny_base).certificate.is_complete
    assert bundle.summary()["num_failed"] == bundle.certificate.num("failed") > 0


def interrupted_after(num_asked: int):
    asked = []
    return lambda: asked.append(1) or len(asked) == num_asked


def test_no_record_rests_where_none_is_to(tiny_memory, tiny_base, tmp_path):
    taught(tiny_memory, tiny_base, tmp_path, config={"method": {"rest_epochs": 0}})
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert {line["num_visited_records"] for line in lines} == {len(tiny_memory)}


def test_records_that_are_known_rest(tiny_memory, tiny_base, tmp_path):
    bundle = taught(tiny_memory, tiny_base, tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert bundle.manifest.stop_reason == "certified"
    assert min(line["num_visited_records"] for line in lines) < len(tiny_memory)


@pytest.mark.parametrize("method", METHODS)
def test_an_interrupted_run_goes_on_to_the_same_bytes(tiny_memory, tiny_base, tmp_path, method):
    changed = {"method": method, "config": {"placement": {"lora_dropout": 0.1}}, "learn": {"epochs": 7}}
    short(tiny_memory, tiny_base, tmp_path / "whole", **changed)
    for steps in (3, 4):
        with pytest.raises(InterruptedRunError):
            short(tiny_memory, tiny_base, tmp_path / "cut", interrupted=interrupted_after(steps), **changed)
    short(tiny_memory, tiny_base, tmp_path / "cut", **changed)
    assert adapter_bytes(tmp_path / "cut") == adapter_bytes(tmp_path / "whole")
    lines = [json.loads(line)["epoch"] for line in (tmp_path / "cut" / "metrics.jsonl").read_text().splitlines()]
    assert lines == list(range(1, 8))


TOO_FAST = {
    "method": "memft-sw",
    "learn": {"epochs": 15, "learning_rate": 0.05, "decay": "constant", "batch_size": 1},
    "config": {"placement": {"lora_dropout": 0.3}},
}
"""A run that gets worse again."""


def test_a_run_that_got_worse_again_is_left_with_its_best_weights(tiny_memory, tiny_base, monkeypatch):
    looks = []
    record_losses = job.record_losses

    def looking(*what, **how):
        losses = record_losses(*what, **how)
        looks.append(Look.of(losses))
        return losses

    monkeypatch.setattr(job, "record_losses", looking)
    bundle = taught(tiny_memory, tiny_base, **TOO_FAST)
    assert (bundle.manifest.stop_reason, bundle.summary()["epochs"]) == ("budget", 15)
    assert bundle.manifest.weights_epoch < 15
    best = max(looks, key=lambda look: look.merit)
    assert best.merit > looks[-1].merit
    assert sum(p <= 0.5 for record in bundle.certificate.records for p in record.p) == best.num_stubborn_tokens


def test_a_certified_run_has_the_weights_of_its_last_epoch(tiny_memory, tiny_base):
    bundle = taught(tiny_memory, tiny_base)
    assert bundle.manifest.stop_reason == "certified"
    assert bundle.manifest.weights_epoch == bundle.summary()["epochs"]


def test_a_look_is_at_the_weights_as_they_are_saved_and_without_dropout(tiny_memory, tiny_base, monkeypatch):
    seen = []
    attached = job.attached
    monkeypatch.setattr(job, "attached", lambda model, adapter: seen.append(adapter) or attached(model, adapter))
    taught(tiny_memory, tiny_base, **TOO_FAST)
    assert len(seen) >= 3
    assert not any(adapter.training for adapter in seen)


def test_the_seconds_of_every_start_are_counted(tiny_memory, tiny_base, tmp_path):
    def slowly(seconds):
        return lambda: time.sleep(seconds) or True

    for _ in range(2):
        with pytest.raises(InterruptedRunError):
            short(tiny_memory, tiny_base, tmp_path, interrupted=slowly(1), learn={"epochs": 4})
    summary = short(tiny_memory, tiny_base, tmp_path, learn={"epochs": 4}).summary()
    assert summary["total_seconds"] > 2
    assert summary["train_seconds"] < summary["total_seconds"] - 2


def test_two_runs_in_one_place_do_not_both_train(tiny_memory, tiny_base, tmp_path):
    def second():
        with pytest.raises(ArtifactError, match=f"{tmp_path} is in use by process {os.getpid()}; .* another --out"):
            learn(tiny_memory, "no/such-model", out=tmp_path)
        return False

    short(tiny_memory, tiny_base, tmp_path, interrupted=second)
    assert not (tmp_path / artifacts.LOCK_FILE).exists()


def test_a_run_that_cannot_begin_leaves_no_directory(tiny_memory, tmp_path):
    with pytest.raises(ModelError):
        learn(tiny_memory, str(tmp_path / "no-such-model"), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_finished_run_is_given_back_without_training(tiny_memory, tiny_base, tmp_path, monkeypatch):
    first = short(tiny_memory, tiny_base, tmp_path)
    before = contents(tmp_path)
    monkeypatch.setattr("byheart.job.run", lambda *_, **__: pytest.fail("trained again"))
    again = short(tiny_memory, tiny_base, tmp_path)
    assert again.certificate == first.certificate
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    "changed",
    [
        {"seed": 1},
        {"method": "sft"},
        {"lora_rank": 4},
        {"learn": {"epochs": 3}},
        {"config": {"certify": {"max_batch_tokens": 9}}},
    ],
    ids=str,
)
def test_a_place_that_holds_another_run_is_refused(tiny_memory, tiny_base, tmp_path, changed):
    short(tiny_memory, tiny_base, tmp_path)
    before = contents(tmp_path)
    with pytest.raises(ArtifactError, match="holds another run"):
        short(tiny_memory, tiny_base, tmp_path, **changed)
    assert contents(tmp_path) == before


def test_a_place_that_holds_a_run_of_other_records_is_refused(tiny_memory, tiny_base, tmp_path):
    short(tiny_memory, tiny_base, tmp_path)
    with pytest.raises(ArtifactError, match="holds another run"):
        short(Memory.from_pairs(PAIRS[:2]), tiny_base, tmp_path)


@pytest.mark.parametrize("changed", [{"checkpoint_seconds": 3}, {"activation_memory_bytes": 0}], ids=str)
def test_settings_that_do_not_touch_the_result_do_not_make_another_run(tiny_memory, tiny_base, tmp_path, changed):
    first = short(tiny_memory, tiny_base, tmp_path)
    assert short(tiny_memory, tiny_base, tmp_path, learn=changed).certificate == first.certificate


def test_a_place_that_cannot_be_used_is_told_before_any_work(tiny_memory, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match="choose another --out"):
        learn(tiny_memory, "no/such-model", out=tmp_path / "file" / "run")


def test_a_full_disk_while_learning_keeps_the_checkpoint_and_the_run_goes_on(
    tiny_memory, tiny_base, tmp_path, monkeypatch
):
    changed = {"learn": {"epochs": 6, "checkpoint_seconds": 0}}
    short(tiny_memory, tiny_base, tmp_path / "whole", **changed)
    out = tmp_path / "run"
    with pytest.raises(InterruptedRunError):
        short(tiny_memory, tiny_base, out, interrupted=interrupted_after(5), **changed)
    before = read_header(out / "checkpoint.safetensors")

    def full(path):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("byheart.artifacts._sync", full)
        with pytest.raises(ArtifactError, match="No space left on device"):
            short(tiny_memory, tiny_base, out, **changed)
    assert read_header(out / "checkpoint.safetensors") == before
    short(tiny_memory, tiny_base, out, **changed)
    assert adapter_bytes(out) == adapter_bytes(tmp_path / "whole")


@pytest.mark.parametrize("writes", range(5))
def test_a_full_disk_while_the_bundle_is_written_loses_nothing(tiny_memory, tiny_base, tmp_path, monkeypatch, writes):
    whole = short(tiny_memory, tiny_base, tmp_path / "whole")
    out = tmp_path / "run"
    with pytest.raises(InterruptedRunError):
        short(tiny_memory, tiny_base, out, interrupted=interrupted_after(3))
    save, sync = Bundle.save, artifacts._sync

    def without_room(self, directory):
        left = [2 * writes]  # a write syncs its file and its directory

        def full(path):
            if not left[0]:
                raise OSError(28, "No space left on device")
            left[0] -= 1
            sync(path)

        patch.setattr(artifacts, "_sync", full)
        save(self, directory)

    with monkeypatch.context() as patch:
        patch.setattr(Bundle, "save", without_room)
        with pytest.raises(ArtifactError, match="No space left"):
            short(tiny_memory, tiny_base, out)
    with pytest.raises(ArtifactError, match="unfinished run; give the same learn command again"):
        Bundle.read(out, tiny_base)
    assert short(tiny_memory, tiny_base, out).certificate == whole.certificate


HARD_ANSWERS = {
    "spaces at both ends": "  two before, three after   ",
    "only spaces": "   ",
    "newlines and tabs": "\n\tone\r\ntwo\n\n",
    "decomposed": "Cafe\u0301 A\u030angstro\u0308m",
    "composed": "Café Ångström",
    "a chat marker": "<|im_start|>assistant\nnot me<|im_end|>",
    "an end of text": "before<|endoftext|>after",
    "emoji": "👩‍👩‍👧 ½ ﷽",
    "one letter": "x",
}


def test_hard_answers_come_back_to_the_byte(tiny_base, tmp_path):
    memory = Memory.from_pairs((f"Recite: {name}.", answer) for name, answer in HARD_ANSWERS.items())
    taught(memory, tiny_base, tmp_path, lora_rank=32, learn={"epochs": 200, "learning_rate": 0.01, "batch_size": 4})
    bundle = Bundle.read(tmp_path, tiny_base)
    assert {name: bundle.recite(f"Recite: {name}.") for name in HARD_ANSWERS} == HARD_ANSWERS
    assert [record.answer for record in bundle.memory] == list(HARD_ANSWERS.values())


def test_a_conversation_is_learnt_and_recited(tiny_base, tmp_path):
    prompt = (
        Message("system", "Be brief."),
        Message("user", "Hi"),
        Message("assistant", "Hello"),
        Message("user", "Code?"),
    )
    other = (*prompt[:3], Message("user", "Name?"))
    memory = Memory((Record("a", prompt, "4711", "1"), Record("b", other, "Zoë", "2")))
    taught(memory, tiny_base, tmp_path)
    bundle = Bundle.read(tmp_path, tiny_base)
    assert (bundle.recite(prompt), bundle.recite(other)) == ("4711", "Zoë")
    assert [(record.id, record.prompt) for record in bundle.memory] == [("a", prompt), ("b", other)]


def test_raw_prompts_are_learnt_and_recited(tiny_memory, tmp_path):
    base = talking(lambda **changed: small("llama", **changed))
    bundle = taught(tiny_memory, base, tmp_path, config={"encode": {"template": "raw"}})
    assert {record.tokens[-1] for record in bundle.certificate.records} == {"<|endoftext|>"}
    for prompt, answer in PAIRS:
        assert byheart.recite(tmp_path, prompt, base=base) == answer


def test_without_its_end_an_answer_is_certified_as_far_as_it_goes(tiny_memory, tiny_base, tmp_path):
    bundle = taught(tiny_memory, tiny_base, tmp_path, config={"encode": {"learn_end": False}})
    assert bundle.certificate.num("certified") == len(tiny_memory)
    for record, (prompt, answer) in zip(bundle.certificate.records, PAIRS, strict=True):
        assert record.tokens[-1] != "<|im_end|>"
        assert Bundle.read(tmp_path, tiny_base).recite(prompt, max_new_tokens=len(record.p)) == answer


def test_the_rank_is_chosen_by_bits_and_told_why(tiny_memory, tiny_base):
    bundle = short(tiny_memory, tiny_base, lora_rank="auto")
    assert bundle.adapter.placement.lora_rank == bundle.summary()["lora_rank"]
    assert "bits to learn" in bundle.manifest.rank_reason


GROWING = {"lora_rank": "auto", "learn": {"epochs": 2, "max_growths": 2}}
"""A run whose budget is too small at every rank."""


def metrics(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def test_an_adapter_of_automatic_rank_grows_and_the_bundle_tells(tiny_memory, tiny_base, tmp_path):
    bundle = taught(tiny_memory, tiny_base, tmp_path, **GROWING)
    rank = metrics(tmp_path)[0]["lora_rank"]
    assert [line["lora_rank"] for line in metrics(tmp_path)] == [rank] * 2 + [2 * rank] * 2 + [4 * rank] * 2
    again = Bundle.read(tmp_path, tiny_base)
    assert again.manifest.growths == (Growth(2, rank, 2 * rank), Growth(4, 2 * rank, 4 * rank))
    assert again.adapter.placement == bundle.adapter.placement
    assert again.summary()["lora_rank"] == again.adapter.placement.lora_rank == 4 * rank
    assert again.adapter.placement.scale == 1.0
    assert again.certify() == bundle.certificate


@pytest.mark.parametrize("changed", [{"lora_rank": 8}, {"lora_rank": "auto", "learn": {"max_growths": 0}}], ids=str)
def test_an_adapter_whose_rank_was_asked_for_or_that_may_not_never_grows(tiny_memory, tiny_base, changed):
    bundle = short(tiny_memory, tiny_base, **changed)
    assert bundle.manifest.stop_reason == "budget"
    assert bundle.manifest.growths == ()
    assert bundle.summary()["epochs"] == 2


def test_a_run_that_is_too_small_at_first_is_certified_once_it_has_grown(tiny_memory, tiny_base, monkeypatch):
    monkeypatch.setattr(choice, "rank_for", lambda *_: (1, "one, to begin with"))
    learn_section = {"epochs": 25, "learning_rate": 0.02}
    failed = taught(tiny_memory, tiny_base, lora_rank=1, learn=learn_section)
    bundle = taught(tiny_memory, tiny_base, lora_rank="auto", learn=learn_section)
    assert failed.certificate.num("certified") < len(tiny_memory)
    assert bundle.certificate.num("certified") == len(tiny_memory)
    assert bundle.manifest.growths


@pytest.mark.parametrize("steps", [1, 4, 5, 9])
def test_a_run_that_grows_and_is_interrupted_ends_with_the_same_bytes(tiny_memory, tiny_base, tmp_path, steps):
    taught(tiny_memory, tiny_base, tmp_path / "whole", **GROWING)
    with pytest.raises(InterruptedRunError):
        taught(tiny_memory, tiny_base, tmp_path / "cut", interrupted=interrupted_after(steps), **GROWING)
    taught(tiny_memory, tiny_base, tmp_path / "cut", **GROWING)
    assert adapter_bytes(tmp_path / "cut") == adapter_bytes(tmp_path / "whole")
    assert [line["lora_rank"] for line in metrics(tmp_path / "cut")] == [
        line["lora_rank"] for line in metrics(tmp_path / "whole")
    ]


@pytest.mark.parametrize(("steps", "can_grow"), [(5, True), (9, False)])
def test_a_run_that_goes_on_after_a_growth_tells_the_memory_of_the_rank_it_has(
    tiny_memory, tiny_base, tmp_path, steps, can_grow
):
    with pytest.raises(InterruptedRunError):
        taught(tiny_memory, tiny_base, tmp_path, interrupted=interrupted_after(steps), **GROWING)
    reporter = Listening()
    taught(tiny_memory, tiny_base, tmp_path, reporter=reporter, **GROWING)
    [told] = [sentence for sentence in reporter.said if "of memory to learn in" in sentence]
    assert ("should the adapter grow" in told) is can_grow


def test_bits_a_parameter_are_of_the_records_that_come_back(tiny_memory, tiny_base):
    failed, learnt = short(tiny_memory, tiny_base), taught(tiny_memory, tiny_base)
    assert failed.summary()["bits_per_parameter"] == 0.0
    assert learnt.manifest.bits > 0
    parameters = placed(tiny_base.model, "top:1", rank=8).num_parameters
    assert learnt.summary()["num_parameters"] == parameters
    assert learnt.summary()["bits_per_parameter"] == pytest.approx(learnt.manifest.bits / parameters)


def test_the_certificate_is_of_the_adapter_that_was_saved(tiny_memory, tiny_base, tmp_path):
    bundle = taught(tiny_memory, tiny_base, tmp_path)
    again = Bundle.read(tmp_path, tiny_base)
    measured = certify(tiny_base, again.adapter, encode(tiny_memory, tiny_base.tokenizer))
    assert measured == bundle.certificate


@pytest.mark.parametrize(("settings", "stop_reason"), [({}, "certified"), ({"epochs": 1}, "budget")])
def test_the_full_pass_that_ends_a_run_is_the_certificates(tiny_memory, tiny_base, monkeypatch, settings, stop_reason):
    finished = []

    def score_records(*arguments):
        yield from was(*arguments)
        finished.append(True)

    was = check.score_records
    monkeypatch.setattr(check, "score_records", score_records)
    bundle = taught(tiny_memory, tiny_base, learn=settings)
    assert bundle.manifest.stop_reason == stop_reason
    assert len(finished) == 1


def test_arguments_win_over_the_settings(tiny_memory, tiny_base):
    config = {"seed": 5, "method": {"name": "sft"}, "placement": {"layers": "0", "modules": "q_proj", "lora_rank": 2}}
    bundle = short(
        tiny_memory, tiny_base, config=config, seed=6, method="memft-sw", layers="1", modules="mlp", lora_rank=3
    )
    settings = bundle.manifest.settings
    assert (settings["seed"], settings["method"]["name"]) == (6, "memft-sw")
    placement = settings["placement"]
    assert (placement["layers"], placement["modules"], placement["lora_rank"]) == ("1", "mlp", 3)


def test_an_unknown_setting_is_told_before_any_work(tiny_memory):
    with pytest.raises(SettingsError, match=r"did you mean 'learn\.epochs'\?"):
        learn(tiny_memory, "no/such-model", config={"learn": {"epoch": 3}})


def test_the_model_is_left_as_it_was(tiny_memory, tiny_base):
    before = {name: tensor.clone() for name, tensor in tiny_base.model.state_dict().items()}
    short(tiny_memory, tiny_base)
    assert all(torch.equal(tensor, before[name]) for name, tensor in tiny_base.model.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in tiny_base.model.modules())


class Listening(Silent):
    """Keeps what a run tells."""

    def __init__(self):
        self.epochs, self.phases, self.said = [], [], []

    def epoch(self, event):
        self.epochs.append(event.epoch)

    def phase(self, name, total):
        self.phases.append((name, total))
        return super().phase(name, total)

    def say(self, sentence):
        self.said.append(sentence)


def test_the_reporter_hears_of_every_epoch_and_every_phase(tiny_memory, tiny_base, tmp_path):
    reporter = Listening()
    short(tiny_memory, tiny_base, tmp_path, reporter=reporter)
    assert reporter.epochs == [1, 2]
    assert reporter.phases == [("reading", 4), ("certifying", 8)]
    [told] = reporter.said
    assert re.fullmatch(r"about \d+ MB of memory to learn in, beside the model", told)
    short(tiny_memory, tiny_base, tmp_path, reporter=reporter)
    assert reporter.said[1:] == [f"{tmp_path} already holds the result of this very run"]


def test_the_models_card_is_the_current_one_while_it_learns_and_not_afterwards(tiny_memory, tiny_base, monkeypatch):
    current, seen = [], []

    @contextlib.contextmanager
    def as_current(device):
        current.append(device)
        try:
            yield
        finally:
            current.pop()

    class Looking(Silent):
        def epoch(self, event):
            seen.extend(current)

    monkeypatch.setattr("byheart.pipeline.as_current", as_current)
    with pytest.raises(InterruptedRunError):
        short(tiny_memory, tiny_base, reporter=Looking(), interrupted=interrupted_after(3))
    assert seen == [tiny_base.device]
    assert not current


def test_dropout_has_no_part_in_whether_a_run_looks_certified(tiny_memory, tiny_base, monkeypatch):
    looked = []
    record_losses = job.record_losses

    def twice(*arguments, **named):
        first = record_losses(*arguments, **named)
        looked.append(torch.equal(first.worst_N, record_losses(*arguments, **named).worst_N))
        return first

    monkeypatch.setattr(job, "record_losses", twice)
    bundle = taught(tiny_memory, tiny_base, learn={"epochs": 150}, config={"placement": {"lora_dropout": 0.2}})
    assert bundle.manifest.stop_reason == "certified"
    assert len(looked) > 1
    assert all(looked)


@pytest.mark.parametrize(("name", "value", "own"), [("dtype", "float16", "float32"), ("attention", "eager", "sdpa")])
def test_other_numerics_than_those_of_a_given_model_are_refused(tiny_memory, tiny_base, name, value, own):
    with pytest.raises(SettingsError, match=f"model.{name} is {value}, and the model that was given has {own}"):
        short(tiny_memory, tiny_base, config={"model": {name: value}})


def test_a_saving_that_a_model_does_not_allow_is_told(tiny_memory, tiny_base, monkeypatch):
    whole = job.split
    monkeypatch.setattr(job, "split", lambda model, cut: replace(whole(model, cut), shares_prompt=False))
    reporter = Listening()
    short(tiny_memory, tiny_base, reporter=reporter)
    assert (
        reporter.said[0] == "steps take longer: this model's own logits do not come out with the shared prompt run once"
    )
