"""What the certificate promises, put to the proof: p > 0.5 at every token, and the free run gives the answer.

Records are measured after every epoch while they are being learnt, so that thousands of their tokens lie just above
p = 0.5, where rounding could tip them: the full pass is uncached and padded on the right, the free run cached and
padded on the left.
"""

import random

import pytest

from byheart.certification.certificate import RecordCertificate
from byheart.certification.check import certify
from byheart.certification.config import CertifyConfig
from byheart.errors import InterruptedRunError
from byheart.learning.activations import compute_activations
from byheart.learning.config import LearnConfig
from byheart.learning.events import EpochEvent
from byheart.learning.hooks import Hooks
from byheart.learning.loop import learn
from byheart.learning.step import Stepper
from byheart.memory.encode import encode
from byheart.memory.records import Memory
from byheart.method.schedule import AllRecords
from byheart.method.threshold import Threshold
from byheart.model.adapter import Adapter
from byheart.model.base import load
from byheart.model.config import ModelConfig
from byheart.model.split import SplitModel
from models_for_tests import placed

NUM_TOKENS = 10_000


@pytest.fixture(scope="module")
def measured(tiny_model_directory, tmp_path_factory) -> list[RecordCertificate]:
    """Every record's certificate after every epoch, in 16 and in 32 bits, until there are tokens enough of each."""
    records: list[RecordCertificate] = []
    for dtype in ("bfloat16", "float32"):
        records += until_enough(tiny_model_directory, dtype, tmp_path_factory.mktemp(dtype))
    return records


def until_enough(model_directory, dtype: str, directory) -> list[RecordCertificate]:
    base = load(ModelConfig.parse({"name": str(model_directory), "dtype": dtype, "device": "cpu"}))
    rng = random.Random(0)
    pairs = [(f"Entry {i}:", "".join(rng.choices("0123456789 abc", k=rng.randint(4, 16)))) for i in range(25)]
    memory = encode(Memory.from_pairs(pairs), base.tokenizer)
    adapter = Adapter.initialised(placed(base.model, "all", rank=32), base.device, seed=1)
    split_model = SplitModel(base.model, cut=0)
    activations = compute_activations(split_model, memory, base.device, memory_budget_bytes=2**30, directory=directory)
    config = LearnConfig(epochs=200, learning_rate=0.01, batch_size=5)
    stepper = Stepper(split_model, adapter, activations, Threshold(), config)
    records: list[RecordCertificate] = []

    def measure(event: EpochEvent) -> None:
        if event.num_certified_records:
            # Batches of another shape each time: rounding differs with it.
            how = CertifyConfig(max_batch_tokens=rng.choice([700, 2000, 5000]))
            records.extend(certify(base, adapter, memory, how).records)

    hooks = Hooks(on_epoch=measure, interrupted=lambda: num_sure_tokens(records) >= NUM_TOKENS // 2)
    with pytest.raises(InterruptedRunError):
        learn(stepper, AllRecords(), config, wanted_probability=1.0, seed=1, hooks=hooks)
    return records


def num_sure_tokens(records: list[RecordCertificate]) -> int:
    """Answer tokens of the records whose every token has p > 0.5."""
    return sum(len(record.p) for record in records if not record.stubborn_positions)


def test_at_least_ten_thousand_tokens_of_records_above_one_half_were_measured(measured):
    assert num_sure_tokens(measured) >= NUM_TOKENS


def test_hundreds_of_them_lay_just_above_one_half(measured):
    close_calls = [p for record in measured if not record.stubborn_positions for p in record.p if p < 0.6]
    assert len(close_calls) >= 200


def test_records_were_of_every_verdict(measured):
    assert {record.verdict for record in measured} == {"certified", "recited", "failed"}


def test_no_record_above_one_half_had_a_free_run_that_differed(measured):
    assert not [record for record in measured if not record.stubborn_positions and record.verdict != "certified"]
