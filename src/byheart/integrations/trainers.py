"""What of a trainer's settings a loss of our own would undo in silence, or cannot work under.

Trainers are asked by the names their settings have; nothing of theirs is imported.
"""

from __future__ import annotations

from typing import Any

from byheart.errors import SettingsError


def refuse_other_losses(trainer: Any, own: type) -> None:
    """Makes sure that a trainer has no other loss than the one it is about to get.

    Args:
        trainer: about to get a loss.
        own: the class of losses that may be there already.

    Raises:
        SettingsError: with every setting that stands in the way and its mend.
    """
    args = trainer.args
    flaws: list[str] = []
    if not hasattr(trainer, "compute_loss_func"):
        flaws.append(f"{type(trainer).__name__} takes no compute_loss_func; call the loss in its compute_loss")
    elif trainer.compute_loss_func is not None and not isinstance(trainer.compute_loss_func, own):
        flaws.append("the trainer has a compute_loss_func of its own; make it without")
    if getattr(args, "label_smoothing_factor", 0):
        flaws.append(
            f"label_smoothing_factor {args.label_smoothing_factor:g} would be left out: smoothed labels have no "
            "p = 0.5 to reach; set it to 0"
        )
    if getattr(args, "use_liger_kernel", False) and not _keeps_logits(args):
        flaws.append(
            "use_liger_kernel's fused loss leaves no logits; set use_liger_kernel=False, or liger_kernel_config="
            '{"fused_linear_cross_entropy": False}'
        )
    if getattr(args, "loss_type", "nll") != "nll":
        flaws.append(f"loss_type {args.loss_type!r} is another loss; set loss_type='nll'")
    if getattr(trainer, "aux_loss_enabled", False) or _routes_with_loss(trainer.model):
        flaws.append(
            "the model's routers have a loss of their own, which would be left out; set output_router_logits=False in "
            "the model's config (in TRL router_aux_loss_coef=0.0)"
        )
    if getattr(getattr(trainer.model, "config", None), "is_encoder_decoder", False):
        flaws.append(f"{type(trainer.model).__name__} is an encoder-decoder; MemFTLoss is for decoders")
    if flaws:
        raise SettingsError("MemFTLoss: " + "\n".join(flaws))


def refuse_packing(trainer: Any, method: str) -> None:
    """Makes sure that each row of a batch is one record.

    Raises:
        SettingsError: records are packed into common rows.
    """
    names = [name for name in ("packing", "padding_free") if getattr(trainer.args, name, False)]
    if names or getattr(trainer, "padding_free", False):
        raise SettingsError(
            f"MemFTLoss: {method} must tell records apart, and {' and '.join(names) or 'padding_free'} puts several "
            "into one row; set them to False, or take memft-ot, which needs to know no records"
        )


def _keeps_logits(args: Any) -> bool:
    """Whether Liger's kernels are asked for without the fused loss."""
    return (getattr(args, "liger_kernel_config", None) or {}).get("fused_linear_cross_entropy") is False


def _routes_with_loss(model: Any) -> bool:
    config = getattr(model, "config", None)
    return bool(getattr(config, "output_router_logits", False) and getattr(config, "router_aux_loss_coef", 0))
