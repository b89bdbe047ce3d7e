import pytest
import torch

from byheart.errors import RecordsError
from byheart.memory.encode import encode
from byheart.memory.records import Memory
from byheart.model.rope import short_context
from models_for_tests import FAMILIES, random_tokens, small, talking

NUM_PAIRS = 4  # head_dim 8
LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 10000.0,
    "short_factor": [1.0] * NUM_PAIRS,
    "long_factor": [4.0] * NUM_PAIRS,
    "original_max_position_embeddings": 32,
}


def phi3(**changed):
    return small("phi3", rope_parameters=dict(LONGROPE), original_max_position_embeddings=32, **changed)


def dynamic(**changed):
    return small("llama", rope_parameters={"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 4.0}, **changed)


def test_a_short_record_depends_on_its_company_beyond_the_limit_only():
    model = phi3()
    assert short_context(model.config) == 32
    short_T = random_tokens(1, 20)[0]

    def beside(num_tokens):
        tokens_BT = torch.zeros(2, num_tokens, dtype=torch.int64)
        tokens_BT[0, :20] = short_T
        with torch.no_grad():
            return model(input_ids=tokens_BT, use_cache=False).logits[0, :20]

    assert torch.allclose(beside(20), beside(32), atol=1e-4)
    assert not torch.allclose(beside(20), beside(33), atol=1e-2)


def test_the_limit_of_a_dynamic_model_is_its_context():
    assert short_context(dynamic().config) == 128


@pytest.mark.parametrize("family", FAMILIES)
def test_other_families_have_none(family):
    assert short_context(small(family).config) is None


@pytest.mark.parametrize("kind", ["longrope", "su"])
def test_older_names_are_known(kind):
    scaling = {"type": kind, "original_max_position_embeddings": 4096}
    config = type("Remote", (), {"rope_scaling": scaling, "max_position_embeddings": 131072})
    assert short_context(config) == 4096


def test_settings_by_type_of_layer_are_looked_into():
    config = type("Mixed", (), {"rope_parameters": {"full_attention": LONGROPE, "sliding_attention": None}})
    assert short_context(config) == 32


def test_a_record_that_would_need_the_long_factors_is_refused():
    def build(**changed):
        return phi3(**{**changed, "hidden_size": 32})

    base = talking(build)
    assert base.max_tokens == 32
    memory = Memory.from_pairs([("Where is the key of the house?", "x" * 30)])
    with pytest.raises(RecordsError, match="more than the model's context of 32"):
        encode(memory, base.tokenizer, max_tokens=base.max_tokens)
