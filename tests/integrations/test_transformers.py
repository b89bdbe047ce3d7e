"""With transformers' own Trainer on the tiny model, adapted by stock PEFT."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, Trainer, TrainingArguments

from byheart.integrations import MemFTLoss
from byheart.integrations.memft_loss import METHODS
from byheart.integrations.record_keys import record_key
from models_for_tests import all_close
from trainers_for_tests import Watched, collated, expected_values

pytestmark = pytest.mark.filterwarnings("ignore")  # what the libraries warn of here is theirs
MakeTrainer = Callable[..., Trainer]


@pytest.fixture
def make_trainer(tiny_model_directory, tiny_encoded, tmp_path) -> MakeTrainer:
    def make(**settings: Any) -> Trainer:
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_pretrained(tiny_model_directory)
        lora = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM")
        usual = {"use_cpu": True, "report_to": "none", "disable_tqdm": True, "save_strategy": "no", "logging_steps": 1}
        return Trainer(
            model=get_peft_model(model, lora),
            args=TrainingArguments(output_dir=str(tmp_path), remove_unused_columns=False, **{**usual, **settings}),
            train_dataset=list(tiny_encoded.records),  # type: ignore[arg-type]
            eval_dataset=list(tiny_encoded.records),  # type: ignore[arg-type]
            data_collator=collated,
        )

    return make


@pytest.mark.parametrize("method", METHODS)
def test_every_pass_of_an_accumulated_training_is_what_the_method_says(method, make_trainer, tiny_encoded):
    loss = Watched(method)
    trainer = make_trainer(
        per_device_train_batch_size=1, gradient_accumulation_steps=3, num_train_epochs=6, learning_rate=5e-2
    )
    loss.attach(trainer)
    trainer.train()
    assert [call.value for call in loss.calls] == pytest.approx(expected_values(loss), rel=1e-4, abs=1e-6)
    for at in range(0, len(loss.calls), len(tiny_encoded)):  # an epoch: a step of three batches, and one of one
        for step in (loss.calls[at : at + 3], loss.calls[at + 3 : at + 4]):
            assert {call.num_items for call in step} == {sum(call.num_tokens for call in step)}
    keys = {record_key(record.prompt_ids + record.answer_ids) for record in tiny_encoded.records}
    assert set(loss.state) == (keys if method == "memft-sw" else set())


def test_an_accumulated_step_of_sft_is_the_whole_batchs_step(make_trainer):
    settings = {"max_steps": 1, "optim": "sgd", "learning_rate": 1.0, "max_grad_norm": 0.0, "warmup_steps": 0}

    def moved(batch_size: int, accumulation: int) -> list[torch.Tensor]:
        trainer = make_trainer(
            per_device_train_batch_size=batch_size,
            gradient_accumulation_steps=accumulation,
            lr_scheduler_type="constant",
            **settings,
        )
        before = [p.detach().clone() for p in trainer.model.parameters() if p.requires_grad]  # type: ignore[union-attr]
        MemFTLoss("sft").attach(trainer)
        trainer.train()
        after = [p.detach() for p in trainer.model.parameters() if p.requires_grad]  # type: ignore[union-attr]
        return [new - old for new, old in zip(after, before, strict=True)]

    whole, parts = moved(4, 1), moved(1, 4)
    lora_B = [change for change in whole if change.any()]  # the gradient of A is zero while B is
    assert len(lora_B) == len(whole) / 2
    assert all_close([change for change in parts if change.any()], lora_B, 1e-4)


def test_sft_is_the_trainers_own_loss(make_trainer):
    logged = []
    for attach in (MemFTLoss("sft").attach, lambda trainer: None):
        trainer = make_trainer(per_device_train_batch_size=2, num_train_epochs=2, learning_rate=1e-2)
        attach(trainer)
        trainer.train()
        logged.append([entry["loss"] for entry in trainer.state.log_history if "loss" in entry])
    assert len(logged[0]) == 4
    assert logged[0] == pytest.approx(logged[1], rel=1e-4)


@pytest.mark.parametrize("method", ["memft-ot", "memft-sw"])
def test_evaluation_between_steps_is_the_plain_loss_and_leaves_the_state(method, make_trainer):
    trainer = make_trainer(max_steps=2, learning_rate=1e-2)
    plain = trainer.evaluate()["eval_loss"]
    loss = MemFTLoss(method)
    loss.attach(trainer)
    assert trainer.evaluate()["eval_loss"] == pytest.approx(plain, rel=1e-5)
    assert loss.state == {}
    predicted = trainer.predict(trainer.eval_dataset).label_ids  # type: ignore[arg-type]
    assert predicted.max() < 10_000, "no key is left in the labels that metrics get"


def test_a_window_that_was_only_handed_over_is_told_to_be_attached(make_trainer):
    trainer = make_trainer(max_steps=1)
    trainer.compute_loss_func = MemFTLoss("memft-sw")
    with pytest.raises(Exception, match=r"call MemFTLoss\.attach\(trainer\) before training"):
        trainer.train()
