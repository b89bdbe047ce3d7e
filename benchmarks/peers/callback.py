"""What the two sides on transformers' `Trainer` share: the race as its callback, and arguments for mere training."""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback

from peers.race import Race


class RaceCallback(TrainerCallback):
    """Starts the stopwatch with the first step, checks after every epoch, and ends the training once it may."""

    def __init__(self, race: Race) -> None:
        self.race = race

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Starts the stopwatch."""
        num_parameters = sum(p.numel() for p in model.parameters() if p.requires_grad)
        self.race.begin(num_parameters=num_parameters, lora_rank=self.race.job.settings["lora_rank"])

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, model: Any = None, **kwargs: Any) -> None:
        """Checks the records: `Trainer` logs once an epoch, at its end, and once more when all is over."""
        if "loss" in logs:
            control.should_training_stop |= self.race.epoch_ended(model, float(logs["loss"]))


def arguments(race: Race, directory: str) -> dict[str, Any]:
    """Of `TrainingArguments` and `SFTConfig` alike; whatever is not here is the library's default."""
    settings = race.job.settings
    return {
        "output_dir": directory,
        "num_train_epochs": settings["epochs"],
        "per_device_train_batch_size": settings["batch_size"],
        "learning_rate": settings["learning_rate"],
        "lr_scheduler_type": settings["scheduler"],
        "bf16": True,
        "use_cpu": race.device == "cpu",
        "dataloader_pin_memory": False,
        "seed": race.job.seed,
        "eval_strategy": "no",
        "save_strategy": "no",
        "logging_strategy": "epoch",
        "report_to": "none",
        "disable_tqdm": True,
    }
