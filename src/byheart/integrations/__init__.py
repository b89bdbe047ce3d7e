"""MemFT where people already train: a loss for transformers' Trainer and TRL's SFTTrainer."""

from byheart.integrations.memft_loss import MemFTLoss

__all__ = ["MemFTLoss"]
