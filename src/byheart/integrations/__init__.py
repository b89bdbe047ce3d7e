"""MemFT where people already train: losses for transformers Trainer and TRL."""
