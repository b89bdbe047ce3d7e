import subprocess
from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F

from byheart.learning.fused import fused_losses, is_the_models, of_head
from byheart.learning.loss import token_losses
from byheart.learning.step import Stepper
from byheart.method.weighting import Uniform
from byheart.model.split import SplitModel
from models_for_tests import close, small


def kernel(
    final_AD, weight_VD, target_A, *, bias, reduction, softcap, return_predicted_tokens, chunk_mem_const, scale=1.0
):
    """What liger-kernel's function computes, in plain torch, times ``scale``."""
    assert reduction == "none"
    assert return_predicted_tokens
    logits_AV = F.linear(final_AD, weight_VD, bias).float() * scale
    if softcap is not None:
        logits_AV = softcap * torch.tanh(logits_AV / softcap)
    nll_A = F.cross_entropy(logits_AV, target_A, reduction="none")
    return SimpleNamespace(loss=nll_A, predicted_tokens=logits_AV.argmax(-1))


@pytest.fixture(params=["llama", "gemma2"])
def parts(request) -> SplitModel:
    return SplitModel(small(request.param), cut=1)


def test_losses_of_a_head_are_the_models(parts):
    final_AD, target_A = torch.randn(5, parts.model.config.hidden_size), torch.tensor([1, 2, 3, 4, 5])
    got, expected = of_head(parts.model, kernel)(final_AD, target_A), token_losses(parts.head, final_AD, target_A)
    assert close(got[0], expected[0])
    assert torch.equal(got[1], expected[1])


def test_a_kernel_that_gives_the_models_losses_is_found_right(parts):
    assert is_the_models(of_head(parts.model, kernel), parts)


def test_a_kernel_that_scales_logits_differently_is_found_out(parts):
    assert not is_the_models(of_head(parts.model, lambda *a, **k: kernel(*a, **k, scale=1.1)), parts)


def test_a_head_that_scales_its_logits_is_found_out():
    from models_for_tests import granite

    parts = SplitModel(granite(logits_scaling=4.0), cut=1)
    assert not is_the_models(of_head(parts.model, kernel), parts)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("no kernel image is available for execution on the device"),
        subprocess.CalledProcessError(1, ["gcc"]),  # Triton's, where Python's headers are missing
    ],
    ids=["no image", "no headers"],
)
def test_a_kernel_that_fails_is_not_used(parts, error):
    def failing(*arguments, **settings):
        raise error

    assert not is_the_models(of_head(parts.model, failing), parts)


def test_without_a_gpu_there_are_none(parts):
    if parts.model.device.type != "cuda":
        assert fused_losses(parts) is None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_on_a_gpu_they_are_the_models():
    pytest.importorskip("liger_kernel")
    parts = SplitModel(small("llama").to("cuda", torch.bfloat16), cut=1)
    assert fused_losses(parts) is not None


class FirstAlone(Uniform):
    """Only a batch's first token counts."""

    def __call__(self, tokens, state):
        return (torch.arange(len(tokens.nll_A)) == 0).float(), state


@pytest.mark.parametrize("weighting", [Uniform(), FirstAlone()], ids=["all tokens count", "one does"])
def test_a_step_takes_fused_losses_where_there_are_some(make_stepper, split_model, gradients_of, weighting):
    plain, fused = make_stepper(weighting), make_stepper(weighting)
    calls: list[int] = []

    def counted(final_AD, target_A):
        calls.append(len(target_A))
        return of_head(split_model.model, kernel)(final_AD, target_A)

    fused.fused_losses = counted
    expected = gradients_of(plain, [0, 1])
    assert all(close(got, each) for got, each in zip(gradients_of(fused, [0, 1]), expected, strict=True))
    assert len(calls) == 1, "one batch, once"
    assert isinstance(plain, Stepper)
