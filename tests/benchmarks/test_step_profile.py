"""Where a step's time goes."""

# pyright: reportMissingImports=false

import pytest
import step_profile
import torch

from byheart.config import RunConfig
from byheart.memory.records import Memory
from byheart.model.split import SplitModel
from conftest import PAIRS


@pytest.mark.parametrize(
    ("name", "sizes", "kind"),
    [
        ("aten::mm", [[220, 576], [576, 1536]], "the model's products"),
        ("aten::mm", [[220, 576], [576, 16]], "the adapter's products"),
        ("aten::bmm", [[90, 46, 64], [90, 64, 46]], "attention"),
        ("aten::_log_softmax", [[110, 1200]], "softmax over words"),
        ("aten::_fused_adamw_", [], "optimizer"),
        ("aten::mul", [[1]], "elementwise, sums, copies"),
        ("MmBackward0", [], "autograd and Python"),
    ],
)
def test_operations_are_told_apart(name, sizes, kind):
    assert step_profile.kind(name, sizes) == kind


def test_the_shares_of_what_was_run_make_one_whole():
    left, right = torch.randn(400, 400), torch.randn(400, 400)
    shares = step_profile.shares(lambda: left.mm(right), 3)
    assert sum(shares.values()) == pytest.approx(1)
    assert list(shares) == list(step_profile.KINDS)
    assert shares["the model's products"] > 0
    assert shares["the adapter's products"] == 0


def test_the_stages_switch_on_one_saving_after_the_other(tiny_base):
    everything = SplitModel(tiny_base.model, 1, shares_prompt=True, skips_unread=True, picks_words=True)
    parts = [stage.parts(everything) for stage in step_profile.STAGES]
    assert [(each.cut, each.shares_prompt, each.skips_unread) for each in parts] == [
        (None, False, False),
        (1, False, False),
        (1, True, True),
        (1, True, True),
    ]
    assert [stage.shortlist for stage in step_profile.STAGES] == [False, False, False, True]


def test_a_saving_that_the_model_does_not_allow_is_not_measured_under_its_name(tiny_base):
    with pytest.raises(SystemExit, match="does not allow it"):
        step_profile.STAGES[-1].parts(SplitModel(tiny_base.model, 1))


@pytest.mark.parametrize("stage", step_profile.STAGES[:3], ids=lambda stage: stage.label)
def test_steps_of_each_stage_are_taken_and_told_apart(stage, tiny_base):
    config = RunConfig.build({"placement": {"layers": "1"}, "learn": {"batch_size": 2}})
    with step_profile.steps_of(stage, tiny_base, Memory.from_pairs(PAIRS), config) as take_step:
        shares = step_profile.shares(take_step, 2)
    assert all(shares[kind] > 0 for kind in step_profile.KINDS), shares
