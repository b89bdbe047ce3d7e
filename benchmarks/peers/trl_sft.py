"""TRL's SFTTrainer with PEFT: LoRA on all linear modules of all layers, as its documentation recommends.

The dataset holds the very ids that byheart learns, with a completion mask: SFTTrainer's own rendering of SmolLM2's chat
template would add a line break after the end of the turn, one more token to learn. No packing (records would see each
other), no gradient checkpointing (it costs time to save memory that is not short here), scale 1 (alpha = rank).
"""

from __future__ import annotations

import tempfile
from typing import Any

from peers.race import Race

LABEL = "TRL SFTTrainer + PEFT"
SETTINGS: dict[str, Any] = {
    "lora_rank": 16,
    "learning_rate": 2e-3,
    "scheduler": "linear",
    "epochs": 25,
    "batch_size": 10,
}
GRID: list[dict[str, Any]] = [
    {"lora_rank": rank, "learning_rate": rate, "epochs": epochs}
    for rank, rate, epochs in ((16, 2e-3, 25), (16, 1e-3, 25), (16, 4e-3, 25), (8, 2e-3, 25), (8, 2e-3, 20))
]


def run(race: Race) -> None:
    """Trains until the race ends."""
    import datasets
    from peft import LoraConfig
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    from peers.callback import RaceCallback, arguments

    datasets.disable_progress_bars()
    _, base, encoded = race.load()
    rank = race.job.settings["lora_rank"]
    dataset = datasets.Dataset.from_list(
        [
            {
                "input_ids": list(record.prompt_ids + record.answer_ids),
                "completion_mask": [0] * len(record.prompt_ids) + [1] * len(record.answer_ids),
            }
            for record in encoded.records
        ]
    )
    with tempfile.TemporaryDirectory() as directory:
        trainer = SFTTrainer(
            model=base.model,
            processing_class=base.tokenizer,
            train_dataset=dataset,
            peft_config=LoraConfig(r=rank, lora_alpha=rank, target_modules="all-linear", task_type="CAUSAL_LM"),
            args=SFTConfig(
                **arguments(race, directory), completion_only_loss=True, packing=False, gradient_checkpointing=False
            ),
            callbacks=[RaceCallback(race)],
        )
        trainer.train()
