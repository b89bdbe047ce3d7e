from functools import partial

import pytest
import torch

from byheart.errors import DivergedError
from byheart.learning import config as learn_config
from byheart.learning.loss import token_losses
from byheart.method.threshold import Threshold
from byheart.method.weighting import TokenBatch, Uniform
from byheart.model.adapter import Adapter
from byheart.model.split import SplitModel
from models_for_tests import all_close, awake, close, placed
from oracles import whole_model


class Recording:
    """A weighting that keeps what it was shown."""

    epsilon = 0.0

    def __init__(self):
        self.seen: list[TokenBatch] = []

    def __call__(self, tokens, state):
        self.seen.append(tokens)
        return torch.ones_like(tokens.nll_A), {**state, tokens.record_ids[0]: {"seen": float(len(self.seen))}}


def expected_gradients(base, adapter, batches) -> list[torch.Tensor]:
    """Of the mean over batches of the mean loss over a batch's answer tokens: whole model, nothing cached."""
    oracle = whole_model.with_lora(base.model, adapter)
    losses = [torch.cat([whole_model.answer_nll(oracle, record) for record in batch]).mean() for batch in batches]
    (sum(losses[1:], losses[0]) / len(batches)).backward()
    return whole_model.gradients(oracle, adapter)


@pytest.mark.parametrize("modules", ["all-linear", "down_proj", "mlp-bypass"])
def test_cached_gradients_are_the_whole_models(tiny_base, tiny_encoded, make_stepper, gradients_of, modules):
    adapter = awake(placed(tiny_base.model, "top:1", modules, rank=4, lora_alpha=6.0))
    got = gradients_of(make_stepper(own=adapter), [0, 1, 2, 3])
    assert all_close(got, expected_gradients(tiny_base, adapter, [tiny_encoded.records]))


def test_uncut_gradients_are_the_whole_models_too(tiny_base, tiny_encoded, make_stepper, gradients_of, tmp_path):
    from byheart.learning.activations import compute_activations

    adapter = awake(placed(tiny_base.model, "all", rank=4))
    uncut = SplitModel(tiny_base.model, None)
    stepper = make_stepper(own=adapter)
    stepper.split_model = uncut
    stepper.activations = compute_activations(
        uncut, tiny_encoded, tiny_base.device, memory_budget_bytes=2**30, directory=tmp_path
    )
    assert all_close(gradients_of(stepper, [0, 1]), expected_gradients(tiny_base, adapter, [tiny_encoded.records[:2]]))


def test_accumulated_gradients_are_of_the_mean_of_the_batches_objectives(
    tiny_base, tiny_encoded, make_stepper, gradients_of, adapter
):
    got = gradients_of(make_stepper(batch_size=2, accumulation=2), [3, 0, 1, 2])
    records = tiny_encoded.records
    expected = expected_gradients(tiny_base, adapter, [[records[3], records[0]], [records[1], records[2]]])
    assert all_close(got, expected)


def test_a_last_smaller_batch_is_a_batch_like_others(tiny_base, tiny_encoded, make_stepper, gradients_of, adapter):
    got = gradients_of(make_stepper(batch_size=2, accumulation=2), [3, 0, 1])
    records = tiny_encoded.records
    expected = expected_gradients(tiny_base, adapter, [[records[3], records[0]], [records[1]]])
    assert all_close(got, expected)


def test_an_outcome_is_what_was_measured_before_the_step(tiny_base, tiny_encoded, make_stepper, adapter):
    oracle = whole_model.with_lora(tiny_base.model, adapter)
    [outcome], _ = make_stepper().step([2, 0], 1e-2, {}, 0)
    nll = [whole_model.answer_nll(oracle, tiny_encoded.records[i]).detach() for i in (2, 0)]
    assert close(outcome.nll_A, torch.cat(nll))
    assert close(outcome.worst_nll_B, torch.stack([each.max() for each in nll]))
    assert outcome.objective == pytest.approx(torch.cat(nll).mean().item(), rel=1e-5)
    assert list(outcome.indices) == [2, 0]


def test_the_weighting_sees_the_batchs_tokens_in_order(tiny_encoded, make_stepper):
    weighting = Recording()
    make_stepper(weighting).step([2, 0], 1e-2, {}, 0)
    [tokens] = weighting.seen
    lengths = [len(tiny_encoded.records[i].answer_ids) for i in (2, 0)]
    assert tokens.record_ids == tuple(tiny_encoded.records[i].id for i in (2, 0))
    assert tokens.record_A.tolist() == [0] * lengths[0] + [1] * lengths[1]
    assert tokens.position_A.tolist() == [*range(lengths[0]), *range(lengths[1])]
    assert not tokens.nll_A.requires_grad


def test_the_weightings_state_goes_from_batch_to_batch(tiny_encoded, make_stepper):
    _, state = make_stepper(Recording(), batch_size=1).step([2, 0], 1e-2, {"before": {"seen": 0.0}}, 0)
    ids = [tiny_encoded.records[i].id for i in (2, 0)]
    assert state == {"before": {"seen": 0.0}, ids[0]: {"seen": 1.0}, ids[1]: {"seen": 2.0}}


def test_no_step_is_taken_where_no_token_has_a_weight(make_stepper, adapter):
    before = adapter.sha256(torch.float32)
    stepper = make_stepper(Threshold(critical_nll_nats=1e6), weight_decay=0.5)
    [outcome], _ = stepper.step([0, 1], 1e-2, {}, 0)
    assert adapter.sha256(torch.float32) == before
    assert not stepper.optimizer.state
    assert outcome.objective == 0.0


class Every:
    """Only every so many of a batch's tokens count, each otherwise."""

    epsilon = 0.0

    def __init__(self, period: int):
        self.period = period

    def __call__(self, tokens, state):
        place_A = torch.arange(len(tokens.nll_A))
        return (1.0 + place_A) * (place_A % self.period == 0), state


@pytest.mark.parametrize("period", [1, 2, 3, 7])
@pytest.mark.parametrize("batch_size", [1, 2])
def test_tokens_without_weight_have_no_part_in_the_gradient(
    tiny_base, tiny_encoded, make_stepper, gradients_of, period, batch_size
):
    adapter = awake(placed(tiny_base.model, "top:1", rank=4))
    found = gradients_of(make_stepper(Every(period), own=adapter, batch_size=batch_size), [0, 1])
    oracle = whole_model.with_lora(tiny_base.model, adapter)
    values = []
    for batch in [[0, 1]] if batch_size == 2 else [[0], [1]]:
        nll_A = torch.cat([whole_model.answer_nll(oracle, tiny_encoded.records[index]) for index in batch])
        place_A = torch.arange(len(nll_A))
        weight_A = (1.0 + place_A) * (place_A % period == 0)
        values.append((weight_A * nll_A).sum() / weight_A.sum())
    torch.stack(values).mean().backward()
    assert all_close(found, whole_model.gradients(oracle, adapter))


def test_few_tokens_of_many_chunks_have_the_same_gradient(make_stepper, gradients_of, monkeypatch):
    whole = gradients_of(make_stepper(Every(5), batch_size=2), [0, 1])
    monkeypatch.setattr("byheart.learning.step.token_losses", partial(token_losses, chunk_tokens=3))
    assert all_close(gradients_of(make_stepper(Every(5), batch_size=2), [0, 1]), whole)


def test_the_gradient_of_few_tokens_is_taken_at_their_places_alone(make_stepper, monkeypatch):
    asked: list[int] = []

    def counted(head, final_AD, target_A, **settings):
        asked.append(len(final_AD))
        return token_losses(head, final_AD, target_A, **settings)

    monkeypatch.setattr("byheart.learning.step.token_losses", counted)
    [outcome], _ = make_stepper(Every(5), batch_size=2).step([0, 1], 1e-2, {}, 0)
    assert asked == [len(outcome.nll_A), len(outcome.nll_A[::5])]


def test_a_batch_without_weights_leaves_the_others_their_share(tiny_base, tiny_encoded, make_stepper, gradients_of):
    class FirstBatchOnly(Uniform):
        def __call__(self, tokens, state):
            is_first = tokens.record_ids[0] == tiny_encoded.records[0].id
            return torch.full_like(tokens.nll_A, float(is_first)), state

    adapter = awake(placed(tiny_base.model, "top:1", rank=4))
    both = gradients_of(make_stepper(FirstBatchOnly(), own=adapter, batch_size=1), [0, 1])
    alone = gradients_of(make_stepper(own=adapter, batch_size=1), [0])
    assert all_close(both, [gradient / 2 for gradient in alone])


def moved_by_one_step(make_stepper, base, **settings) -> float:
    """Size of the first moment after one step: a tenth of the gradient that AdamW was given."""
    stepper = make_stepper(own=awake(placed(base.model, "top:1", rank=4)), **settings)
    stepper.step([0, 1], 1e-2, {}, 0)
    moments = [state["exp_avg"] for state in stepper.optimizer.state.values()]
    return 10 * torch.cat([moment.flatten() for moment in moments]).norm().item()


def test_a_long_gradient_is_cut_to_the_norm(make_stepper, tiny_base):
    assert moved_by_one_step(make_stepper, tiny_base, clip_norm=1e9) > 0.5
    assert moved_by_one_step(make_stepper, tiny_base, clip_norm=0.5) == pytest.approx(0.5, rel=1e-3)


def test_a_step_is_adamws(make_stepper, tiny_base, gradients_of):
    first, second = (awake(placed(tiny_base.model, "top:1", rank=4)) for _ in range(2))
    settings = {"betas": (0.8, 0.9), "weight_decay": 0.1, "clip_norm": 1e9}
    gradients = gradients_of(make_stepper(own=second), [0, 1])
    make_stepper(own=first, **settings).step([0, 1], 3e-3, {}, 0)
    reference = torch.optim.AdamW(second.parameters(), lr=3e-3, betas=(0.8, 0.9), weight_decay=0.1)
    for parameter, gradient in zip(second.parameters(), gradients, strict=True):
        parameter.grad = gradient
    reference.step()
    assert all_close(list(first.parameters()), list(second.parameters()), 1e-6)


def test_the_model_itself_gets_no_gradient_and_no_hook(make_stepper, tiny_base):
    make_stepper().step([0, 1], 1e-2, {}, 0)
    assert all(parameter.grad is None for parameter in tiny_base.model.parameters())
    assert not any(module._forward_hooks for module in tiny_base.model.modules())


def test_dropout_comes_from_the_steps_seed_alone(make_stepper, tiny_base):
    def after(dropout_seed: int, global_seed: int) -> str:
        torch.manual_seed(global_seed)
        adapter: Adapter = awake(placed(tiny_base.model, "top:1", rank=4, lora_dropout=0.3)).train()
        make_stepper(own=adapter).step([0, 1], 1e-2, {}, dropout_seed)
        return adapter.sha256(torch.float32)

    with torch.random.fork_rng(devices=[]):
        assert after(1, 1) == after(1, 2) != after(2, 1)


def test_a_gradient_that_is_not_finite_stops_before_the_step(make_stepper, adapter):
    stepper = make_stepper(learning_rate=0.5)
    before = [parameter.detach().clone() for parameter in stepper.parameters]
    stepper.parameters[0].register_hook(lambda gradient: gradient * float("inf"))
    with pytest.raises(DivergedError, match=r"learning_rate 0\.5 is too high: set a lower one"):
        stepper.step([0, 1], 0.5, {}, 0)
    assert all(map(torch.equal, stepper.parameters, before))


@pytest.mark.parametrize("weighting", [Uniform(), Threshold()])
def test_a_loss_that_is_not_a_number_stops_even_where_it_has_no_weight(make_stepper, adapter, weighting):
    with torch.no_grad():
        adapter.lora_B[0][0, 0] = float("nan")
    with pytest.raises(DivergedError, match="a token's loss is not a finite number"):
        make_stepper(weighting, adapter).step([0, 1], 1e-3, {}, 0)


def weights_of(adapter: Adapter) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in adapter.parameters()]


def test_what_was_learnt_is_the_running_mean_of_the_weights_after_each_step(make_stepper, adapter):
    stepper = make_stepper(averaging=0.75)
    after = []
    for step in range(3):
        stepper.step([0, 1], 1e-2, {}, step)
        after.append(weights_of(adapter))
    first, second, third = after
    expected = [0.75 * (0.75 * a + 0.25 * b) + 0.25 * c for a, b, c in zip(first, second, third, strict=True)]
    assert all_close(weights_of(stepper.learnt()), expected)
    assert all_close(weights_of(adapter), third)


def test_where_a_pass_is_long_a_step_moves_the_mean_by_less(make_stepper, adapter, tiny_encoded, monkeypatch):
    monkeypatch.setattr(learn_config, "UNHURRIED_STEPS", 1)
    stepper = make_stepper(batch_size=1)
    after = []
    for step in range(2):
        stepper.step([0], 1e-2, {}, step)
        after.append(weights_of(adapter))
    kept = 0.9 ** (1 / len(tiny_encoded))
    assert all_close(weights_of(stepper.learnt()), [kept * a + (1 - kept) * b for a, b in zip(*after, strict=True)])


def test_before_the_first_step_nothing_else_is_learnt_than_there_is(make_stepper, adapter):
    assert all_close(weights_of(make_stepper().learnt()), weights_of(adapter))


def test_without_averaging_what_was_learnt_are_the_weights_themselves(make_stepper, adapter):
    stepper = make_stepper(averaging=0.0)
    for step in range(2):
        stepper.step([0, 1], 1e-2, {}, step)
    assert stepper.learnt().sha256(torch.float32) == adapter.sha256(torch.float32)


def test_the_mean_comes_to_the_weights_where_no_token_moves_them_any_more(make_stepper, adapter):
    stepper = make_stepper(averaging=0.5)
    for step in range(3):
        stepper.step([0, 1], 1e-2, {}, step)
    stepper.weighting = Threshold(critical_nll_nats=1e6)
    for step in range(40):
        stepper.step([0, 1], 1e-2, {}, step)
    assert all_close(weights_of(stepper.learnt()), weights_of(adapter))
