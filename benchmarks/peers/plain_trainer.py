"""transformers' Trainer with PEFT at byheart's own default placement: what is left between the two is the engine.

All linear modules of the three top layers, the rank that byheart chooses for a hundred numbers, scale 1, loss on the
answers only.
"""

from __future__ import annotations

import tempfile
from typing import Any, cast

from peers.race import Race

TOP_LAYERS = 3
MODULES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
LABEL = "Trainer + PEFT, top 3 layers"
SETTINGS: dict[str, Any] = {
    "lora_rank": 16,
    "learning_rate": 4e-3,
    "scheduler": "linear",
    "epochs": 60,
    "batch_size": 10,
}
GRID: list[dict[str, Any]] = [
    {"learning_rate": rate, "epochs": epochs}
    for rate, epochs in ((4e-3, 60), (4e-3, 40), (4e-3, 30), (8e-3, 60), (2e-3, 60))
]


def run(race: Race) -> None:
    """Trains until the race ends."""
    import torch
    from peft import LoraConfig, get_peft_model
    from torch.nn.utils.rnn import pad_sequence
    from transformers import Trainer, TrainingArguments

    from peers.callback import RaceCallback, arguments

    _, base, encoded = race.load()
    rank, num_layers = race.job.settings["lora_rank"], base.model.config.num_hidden_layers

    def collate(records: list[Any]) -> dict[str, torch.Tensor]:
        def padded(rows: list[list[int]], value: int) -> torch.Tensor:
            return pad_sequence([torch.tensor(row) for row in rows], batch_first=True, padding_value=value)

        tokens = [list(r.prompt_ids + r.answer_ids) for r in records]
        labels = [[-100] * len(r.prompt_ids) + list(r.answer_ids) for r in records]
        return {
            "input_ids": padded(tokens, encoded.pad_id),
            "attention_mask": padded([[1] * len(row) for row in tokens], 0),
            "labels": padded(labels, -100),
        }

    lora = LoraConfig(
        r=rank,
        lora_alpha=rank,
        target_modules=MODULES,
        layers_to_transform=list(range(num_layers - TOP_LAYERS, num_layers)),
        task_type="CAUSAL_LM",
    )
    with tempfile.TemporaryDirectory() as directory:
        trainer = Trainer(
            model=get_peft_model(base.model, lora),
            args=TrainingArguments(**arguments(race, directory), remove_unused_columns=False),
            train_dataset=cast(Any, list(encoded.records)),
            data_collator=collate,
            callbacks=[RaceCallback(race)],
        )
        trainer.train()
