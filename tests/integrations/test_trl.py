"""With TRL's SFTTrainer and PEFT on the tiny model: conversations in, as TRL renders them."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from datasets import Dataset, disable_progress_bars
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from byheart.errors import SettingsError
from byheart.integrations import MemFTLoss
from byheart.integrations.memft_loss import METHODS
from byheart.integrations.record_keys import record_key
from conftest import PAIRS
from trainers_for_tests import Watched, expected_values

pytestmark = pytest.mark.filterwarnings("ignore")  # what the libraries warn of here is theirs
MakeTrainer = Callable[..., SFTTrainer]


@pytest.fixture
def make_trainer(tiny_model_directory, tmp_path) -> MakeTrainer:
    disable_progress_bars()

    def make(**settings: Any) -> SFTTrainer:
        torch.manual_seed(0)
        turns = [
            {"prompt": [{"role": "user", "content": q}], "completion": [{"role": "assistant", "content": a}]}
            for q, a in PAIRS
        ]
        usual = {"use_cpu": True, "bf16": False, "report_to": "none", "disable_tqdm": True, "save_strategy": "no"}
        faster = {"activation_checkpointing": False, "logging_steps": 1, "per_device_train_batch_size": 2}
        return SFTTrainer(
            model=AutoModelForCausalLM.from_pretrained(tiny_model_directory),
            processing_class=AutoTokenizer.from_pretrained(tiny_model_directory),
            train_dataset=Dataset.from_list(turns),
            eval_dataset=Dataset.from_list(turns[:2]),
            peft_config=LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM"),
            args=SFTConfig(output_dir=str(tmp_path), **{**usual, **faster, **settings}),
        )

    return make


@pytest.mark.parametrize("method", METHODS)
def test_every_pass_of_a_training_is_what_the_method_says(method, make_trainer):
    loss = Watched(method)
    trainer = make_trainer(num_train_epochs=6, learning_rate=2e-2, eval_strategy="epoch")
    loss.attach(trainer)
    trainer.train()
    assert len(loss.calls) == 12
    assert [call.value for call in loss.calls] == pytest.approx(expected_values(loss), rel=1e-4, abs=1e-6)
    logged = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert logged == pytest.approx([call.value for call in loss.calls], rel=1e-3)
    keys = {record_key(row["input_ids"]) for row in trainer.train_dataset}  # type: ignore[union-attr]
    assert set(loss.state) == (keys if method == "memft-sw" else set())


def test_sft_is_trls_own_loss(make_trainer):
    logged = []
    for attach in (MemFTLoss("sft").attach, lambda trainer: None):
        trainer = make_trainer(num_train_epochs=2, learning_rate=1e-2, gradient_accumulation_steps=2)
        attach(trainer)
        trainer.train()
        logged.append([entry["loss"] for entry in trainer.state.log_history if "loss" in entry])
    assert logged[0] == pytest.approx(logged[1], rel=1e-3)


def test_packed_records_are_trained_by_the_threshold_and_refused_by_the_window(make_trainer):
    settings = {"padding_free": True, "max_length": None, "max_steps": 1, "per_device_train_batch_size": 4}
    with pytest.raises(SettingsError, match="memft-sw must tell records apart, and padding_free puts"):
        MemFTLoss("memft-sw").attach(make_trainer(**settings))
    values = []
    for given in ({**settings}, {**settings, "padding_free": False}):
        loss = Watched("memft-ot")
        trainer = make_trainer(**given)
        loss.attach(trainer)
        trainer.train()
        values.append([call.value for call in loss.calls])
        assert [len(call.labels_BT) for call in loss.calls] == [4 - 3 * given["padding_free"]]
    assert values[0] == pytest.approx(values[1], rel=1e-4)
