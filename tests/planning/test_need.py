import torch

from byheart.planning.need import measured_need, need_of
from byheart.progress import Silent


def test_a_memorys_need_is_that_of_the_base_model_alone(tiny_memory, tiny_base, config, outline, tiny_encoded):
    from byheart.certification.check import certify
    from byheart.model.adapter import Adapter

    need = measured_need(tiny_memory, tiny_base, config, outline, Silent())
    fresh = Adapter.initialised(outline, tiny_base.device, 0)  # B is zero: the base model's own answers
    certificate = certify(tiny_base, fresh, tiny_encoded)
    assert need.num_records == len(tiny_memory)
    assert need.num_answer_tokens == certificate.num_answer_tokens
    assert abs(need.nll_before_nats - certificate.nll_nats) < 1e-3 * certificate.nll_nats


def test_what_is_known_for_certain_still_has_a_logarithm(tiny_encoded):
    assert 0 < need_of(tiny_encoded, torch.zeros(len(tiny_encoded))).nll_before_nats < 1e-3
