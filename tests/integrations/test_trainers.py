from types import SimpleNamespace
from typing import Any

import pytest

from byheart.errors import SettingsError
from byheart.integrations import MemFTLoss
from byheart.integrations.record_keys import KeyedCollator


def trainer(model: dict[str, Any] | None = None, more: dict[str, Any] | None = None, **args: Any) -> Any:
    """What of a trainer is asked."""
    usual = {"label_smoothing_factor": 0.0, "use_liger_kernel": False, "loss_type": "nll", "packing": False}
    return SimpleNamespace(
        args=SimpleNamespace(**{**usual, **args}),
        model=SimpleNamespace(config=SimpleNamespace(**(model or {}))),
        data_collator=dict,
        compute_loss_func=None,
        **(more or {}),
    )


def test_a_method_that_knows_no_records_leaves_the_collator_alone():
    own, loss = trainer(), MemFTLoss("memft-ot")
    loss.attach(own)
    assert own.compute_loss_func is loss
    assert own.data_collator is dict


def test_a_window_is_told_its_records_once_however_often_it_is_attached():
    own, loss = trainer(), MemFTLoss("memft-sw")
    loss.attach(own)
    loss.attach(own)
    assert isinstance(own.data_collator, KeyedCollator)
    assert own.data_collator.collator is dict


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"label_smoothing_factor": 0.1}, "label_smoothing_factor 0.1 would be left out"),
        ({"use_liger_kernel": True}, "use_liger_kernel's fused loss leaves no logits"),
        ({"loss_type": "dft"}, "loss_type 'dft' is another loss"),
        ({"more": {"aux_loss_enabled": True}}, r"router_aux_loss_coef=0\.0"),
        ({"model": {"output_router_logits": True, "router_aux_loss_coef": 0.1}}, "output_router_logits=False"),
        ({"model": {"is_encoder_decoder": True}}, "is an encoder-decoder"),
    ],
)
@pytest.mark.parametrize("method", ["sft", "memft-sw"])
def test_what_the_loss_would_undo_in_silence_is_refused(given, told, method):
    own = trainer(**given)
    with pytest.raises(SettingsError, match=told):
        MemFTLoss(method).attach(own)
    assert own.compute_loss_func is None


def test_all_that_stands_in_the_way_is_told_at_once():
    with pytest.raises(SettingsError, match=r"label_smoothing_factor(.|\n)*loss_type"):
        MemFTLoss().attach(trainer(label_smoothing_factor=0.1, loss_type="dft"))


@pytest.mark.parametrize(
    "given",
    [
        {"use_liger_kernel": True, "liger_kernel_config": {"fused_linear_cross_entropy": False}},
        {"model": {"output_router_logits": True, "router_aux_loss_coef": 0.0}},
        {"model": {"output_router_logits": False, "router_aux_loss_coef": 0.1}},
        {"assistant_only_loss": True},
    ],
)
def test_what_stands_in_no_way_is_let_pass(given):
    own = trainer(**given)
    MemFTLoss().attach(own)
    assert own.compute_loss_func is not None


@pytest.mark.parametrize(
    "given", [{"packing": True}, {"padding_free": True}, {"more": {"padding_free": True}, "packing": True}]
)
def test_packed_records_are_refused_where_they_must_be_told_apart(given):
    with pytest.raises(SettingsError, match=r"memft-sw must tell records apart, and (packing|padding_free) puts"):
        MemFTLoss("memft-sw").attach(trainer(**given))
    MemFTLoss("memft-ot").attach(trainer(**given))


def test_a_loss_that_somebody_has_set_is_not_replaced():
    own = trainer()
    own.compute_loss_func = theirs = lambda outputs, labels, num_items_in_batch: 0.0
    with pytest.raises(SettingsError, match="has a compute_loss_func of its own; make it without"):
        MemFTLoss().attach(own)
    assert own.compute_loss_func is theirs


def test_a_loss_of_ours_gives_way_to_another_of_ours():
    own, second = trainer(), MemFTLoss("sft")
    MemFTLoss("memft-ot").attach(own)
    second.attach(own)
    assert own.compute_loss_func is second


def test_a_trainer_that_takes_no_loss_is_told_so():
    own = trainer()
    del own.compute_loss_func
    with pytest.raises(SettingsError, match="takes no compute_loss_func"):
        MemFTLoss().attach(own)
