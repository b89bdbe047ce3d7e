"""Fine-tuning with TRL as anyone does it, by MemFT: three lines more, marked below.

    python examples/sft_with_memft.py examples/contacts.jsonl --out runs/sft --epochs 30
    byheart certify runs/sft examples/contacts.jsonl

Needs `pip install 'byheart[bench]'` (TRL and datasets).
"""

from __future__ import annotations

import argparse

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

from byheart import MemFTLoss, Memory  # 1
from byheart.model.catalog import locate


def main() -> None:
    """Trains an adapter and saves it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("records", help="JSONL with prompt and completion")
    parser.add_argument("--out", required=True, help="where the adapter goes")
    parser.add_argument("--model", default="smollm2-135m", help="short name, directory or hub id")
    parser.add_argument("--method", default="memft-ot", help="sft, memft-ot or memft-sw")
    parser.add_argument("--epochs", type=float, default=30)
    parser.add_argument("--max-steps", type=int, default=-1, help="ends earlier; -1: never")
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--lora-rank", type=int, default=16)
    parser.add_argument("--batch-size", type=int, default=10)
    parser.add_argument("--accumulation", type=int, default=1)
    asked = parser.parse_args()

    def conversation(prompt: str, answer: str) -> dict[str, list[dict[str, str]]]:
        return {
            "prompt": [{"role": "user", "content": prompt}],
            "completion": [{"role": "assistant", "content": answer}],
        }

    location = locate(asked.model, print).location
    memory = Memory.from_file(asked.records)
    rank = asked.lora_rank
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(location),
        processing_class=AutoTokenizer.from_pretrained(location),
        train_dataset=Dataset.from_list([conversation(str(record.prompt), record.answer) for record in memory]),
        peft_config=LoraConfig(r=rank, lora_alpha=rank, target_modules="all-linear", task_type="CAUSAL_LM"),
        args=SFTConfig(
            output_dir=asked.out,
            num_train_epochs=asked.epochs,
            max_steps=asked.max_steps,
            learning_rate=asked.learning_rate,
            per_device_train_batch_size=asked.batch_size,
            gradient_accumulation_steps=asked.accumulation,
            use_cpu=not torch.cuda.is_available(),
            activation_checkpointing=False,
            logging_steps=1,
            save_strategy="no",
            report_to="none",
        ),
    )
    loss = MemFTLoss(asked.method)  # 2
    loss.attach(trainer)  # 3
    trainer.train()
    trainer.save_model()


if __name__ == "__main__":
    main()
