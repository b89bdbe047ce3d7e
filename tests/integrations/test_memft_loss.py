from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from byheart.errors import SettingsError
from byheart.integrations import MemFTLoss
from byheart.integrations.memft_loss import METHODS
from byheart.integrations.record_keys import IGNORED, KeyedCollator, record_key
from byheart.method.weighting import critical_nll_nats
from byheart.model.adapter import attached
from models_for_tests import all_close, awake, placed
from trainers_for_tests import collated


def output(logits, **more):
    return SimpleNamespace(logits=logits, **more)


def random_batch(num_rows=3, num_positions=9, num_words=11, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(num_rows, num_positions, num_words, generator=generator)
    labels = torch.randint(num_words, (num_rows, num_positions), generator=generator)
    labels[torch.rand(labels.shape, generator=generator) < 0.4] = IGNORED
    return logits.requires_grad_(), labels


def nll_of(logits, labels):
    """Of the trained tokens, by the definition."""
    return [
        -torch.log_softmax(logits[row, at - 1].detach().double(), -1)[labels[row, at]].item()
        for row in range(len(labels))
        for at in range(1, labels.shape[1])
        if labels[row, at] != IGNORED
    ]


def trainers_pass(base, adapter, loss, records, num_items=None):
    """A forward and backward pass as a trainer takes it; gradients add up in the adapter."""
    batch = KeyedCollator(collated)(records)
    labels = batch.pop("labels")
    with attached(base.model, adapter):
        value = loss(base.model(**batch, use_cache=False), labels, num_items_in_batch=num_items)
        value.backward()
    return value.item()


def gradients(adapter):
    taken = [parameter.grad.clone() for parameter in adapter.parameters()]
    adapter.zero_grad()
    return taken


def own_gradients(stepper, indices, state, monkeypatch):
    """byheart's own step: what its batches came to, its gradients and its new state; no step is taken."""
    taken = []

    def keep(parameters, max_norm):
        taken.extend(parameter.grad.clone() for parameter in parameters)
        return torch.tensor(1.0)

    with monkeypatch.context() as patch:
        patch.setattr(torch.nn.utils, "clip_grad_norm_", keep)
        outcomes, state = stepper.step(indices, 0.0, state, 0)
    return outcomes, taken, state


@pytest.mark.parametrize("method", METHODS)
def test_it_is_our_own_loops_objective_gradient_and_state(method, tiny_base, tiny_encoded, make_stepper, monkeypatch):
    adapter = awake(placed(tiny_base.model, "top:1", rank=4))
    loss = MemFTLoss(method)
    stepper = make_stepper(adapter, loss.config)
    state = {}
    for indices in ([2, 0, 3], [1, 2], [2, 0, 1, 3]):  # three visits, so that windows have a state to keep
        records = [tiny_encoded.records[i] for i in indices]
        value = trainers_pass(tiny_base, adapter, loss, records)
        got = gradients(adapter)
        [outcome], expected, state = own_gradients(stepper, indices, state, monkeypatch)
        assert value == pytest.approx(outcome.objective, rel=1e-5)
        assert all_close(got, expected, 1e-4)
    keys = {record.id: record_key(record.prompt_ids + record.answer_ids) for record in tiny_encoded.records}
    assert loss.state == {keys[record_id]: values for record_id, values in state.items()}
    assert bool(loss.state) == (method == "memft-sw")


@pytest.mark.parametrize("method", METHODS)
def test_a_step_over_two_batches_counts_each_by_its_tokens(method, tiny_base, tiny_encoded, make_stepper, monkeypatch):
    adapter = awake(placed(tiny_base.model, "top:1", rank=4))
    loss = MemFTLoss(method)
    batches = [[tiny_encoded.records[0]], [tiny_encoded.records[i] for i in (1, 3)]]
    sizes = [sum(len(record.answer_ids) for record in batch) for batch in batches]
    assert sizes[0] != sizes[1]
    value = sum(trainers_pass(tiny_base, adapter, loss, batch, sum(sizes)) for batch in batches)
    got = gradients(adapter)
    stepper = make_stepper(adapter, loss.config)
    one, one_gradients, state = own_gradients(stepper, [0], {}, monkeypatch)
    two, two_gradients, _ = own_gradients(stepper, [1, 3], state, monkeypatch)
    shares = [size / sum(sizes) for size in sizes]
    assert value == pytest.approx(shares[0] * one[0].objective + shares[1] * two[0].objective, rel=1e-5)
    expected = [shares[0] * a + shares[1] * b for a, b in zip(one_gradients, two_gradients, strict=True)]
    assert all_close(got, expected, 1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_batches_of_equally_many_tokens_accumulate_as_our_own_do(
    method, tiny_base, tiny_encoded, make_stepper, monkeypatch
):
    adapter = awake(placed(tiny_base.model, "top:1", rank=4))
    loss = MemFTLoss(method)
    record = tiny_encoded.records[0]
    num_tokens = 2 * len(record.answer_ids)
    for _ in range(2):
        trainers_pass(tiny_base, adapter, loss, [record], num_tokens)
    got = gradients(adapter)
    stepper = make_stepper(adapter, loss.config, batch_size=1, accumulation=2)
    _, expected, _ = own_gradients(stepper, [0, 0], {}, monkeypatch)
    assert all_close(got, expected, 1e-4)


@given(cut=st.integers(1, 3), seed=st.integers(0, 99))
@settings(max_examples=25)
def test_sft_does_not_mind_how_a_step_is_cut_into_batches(cut, seed):
    logits, labels = random_batch(num_rows=4, seed=seed)
    num_items = int((labels[:, 1:] != IGNORED).sum())
    loss = MemFTLoss("sft")
    whole = loss(output(logits), labels)
    parts = [loss(output(logits[rows]), labels[rows], num_items) for rows in (slice(cut), slice(cut, None))]
    assert sum(part.item() for part in parts) == pytest.approx(whole.item(), rel=1e-5)


@given(st.integers(0, 10**6))
@settings(max_examples=25)
def test_it_is_the_weighted_mean_over_shifted_labels(seed):
    logits, labels = random_batch(seed=seed)
    nll = nll_of(logits, labels)
    hard = [value for value in nll if value > critical_nll_nats(0.1)]
    got = MemFTLoss("memft-ot", margin=0.1, epsilon=0.25)(output(logits), labels)
    assert got.item() == pytest.approx(sum(hard) / (len(hard) + 0.25), rel=1e-5, abs=1e-7)
    assert MemFTLoss("sft")(output(logits), labels).item() == pytest.approx(sum(nll) / max(len(nll), 1), rel=1e-5)


def test_only_logits_that_predict_a_token_with_weight_get_a_gradient():
    logits, labels = random_batch()
    MemFTLoss("memft-ot", margin=0.0)(output(logits), labels).backward()
    assert logits.grad is not None
    has_gradient = logits.grad.abs().sum(-1) > 0
    probabilities = logits.detach().softmax(-1)
    expected = torch.zeros_like(has_gradient)
    for row, at in (labels[:, 1:] != IGNORED).nonzero().tolist():
        expected[row, at] = probabilities[row, at, labels[row, at + 1]] < 0.5
    assert has_gradient.tolist() == expected.tolist()
    assert 0 < expected.sum() < (labels[:, 1:] != IGNORED).sum()


def test_more_tokens_than_a_chunk_give_the_same_loss_and_gradient():
    logits, labels = random_batch(num_rows=40, num_positions=50)
    assert (labels[:, 1:] != IGNORED).sum() > 2 * 512
    value = MemFTLoss("sft")(output(logits), labels)
    [gradient] = torch.autograd.grad(value, logits)
    plain = F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=IGNORED)
    [expected] = torch.autograd.grad(plain, logits)
    assert value.item() == pytest.approx(plain.item(), rel=1e-5)
    assert all_close([gradient], [expected])


def test_losses_of_sixteen_bit_logits_are_taken_in_fp32():
    logits, labels = random_batch()
    low = logits.detach().bfloat16().requires_grad_()
    value = MemFTLoss("sft")(output(low), labels)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(MemFTLoss("sft")(output(low.detach().float()), labels).item(), rel=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_evaluation_is_the_mean_loss_and_moves_no_state(method):
    logits, labels = random_batch()
    loss = MemFTLoss(method)
    with torch.no_grad():
        value = loss(output(logits), labels, num_items_in_batch=7)
    assert value.item() == pytest.approx(sum(nll_of(logits, labels)) / len(nll_of(logits, labels)), rel=1e-5)
    assert loss.state == {}


@pytest.mark.parametrize("grad", [True, False])
def test_a_batch_in_which_nothing_is_trained_costs_nothing(grad):
    logits, labels = random_batch()
    with torch.set_grad_enabled(grad):
        value = MemFTLoss("sft")(output(logits), torch.full_like(labels, IGNORED), 5)
    assert value.item() == 0
    if grad:
        value.backward()
        assert logits.grad is not None
        assert not logits.grad.any()


def test_a_token_below_the_threshold_costs_nothing_and_moves_nothing():
    logits = torch.zeros(1, 3, 5)
    logits[0, :, 2] = 20
    logits.requires_grad_()
    value = MemFTLoss("memft-ot")(output(logits), torch.tensor([[IGNORED, 2, 2]]))
    value.backward()
    assert value.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_one_row_of_several_records_is_the_same_to_memft_ot():
    """Packing: the first token of each record but the first is predicted by another record, so it has no label."""
    logits, labels = random_batch(num_rows=2)
    labels[:, 0] = IGNORED
    packed = MemFTLoss()(output(logits.flatten(0, 1)[None]), labels.flatten()[None])
    assert packed.item() == pytest.approx(MemFTLoss()(output(logits), labels).item(), rel=1e-6)


def test_outputs_may_be_a_mapping():
    logits, labels = random_batch()
    assert torch.equal(MemFTLoss()({"logits": logits}, labels), MemFTLoss()(output(logits), labels))


def test_a_window_without_records_is_refused():
    logits, labels = random_batch()
    with pytest.raises(SettingsError, match=r"must know which record a row is; call MemFTLoss\.attach\(trainer\)"):
        MemFTLoss("memft-sw")(output(logits), labels)


@pytest.mark.parametrize(
    ("outputs", "labels", "told"),
    [
        (output(torch.zeros(1, 3, 5)), None, "the batch has no labels"),
        (output(None), torch.zeros(1, 3, dtype=torch.int64), "the model gave no logits"),
        (output(torch.zeros(1, 5, 5)), torch.zeros(1, 3, dtype=torch.int64), r"\(1, 5\) rows and positions do not fit"),
        (
            output(torch.zeros(1, 3, 5), encoder_last_hidden_state=torch.zeros(1)),
            torch.zeros(1, 3, dtype=torch.int64),
            "encoder-decoder",
        ),
    ],
)
def test_what_is_no_causal_models_batch_is_refused(outputs, labels, told):
    with pytest.raises(SettingsError, match=told):
        MemFTLoss()(outputs, labels)


@pytest.mark.parametrize(
    ("arguments", "given", "told"),
    [
        (["memft-to"], {}, "did you mean 'memft-ot'.*allowed: sft, memft-ot, memft-sw$"),
        (["memft-sw-curriculum"], {}, "which here is the trainer's to say"),
        ([], {"margn": 0.1}, "did you mean 'margin'"),
        ([], {"rest_epochs": 3}, "unknown setting of a loss 'rest_epochs'"),
        ([], {"margin": 0.7}, "less than 0.5"),
    ],
)
def test_what_is_no_loss_is_refused(arguments, given, told):
    with pytest.raises(SettingsError, match=told):
        MemFTLoss(*arguments, **given)
