from dataclasses import replace

import pytest
import torch

from byheart.errors import ArtifactError
from byheart.learning import activations
from byheart.learning.activations import FILE_NAME, compute_activations
from byheart.memory.batch import num_shared_tokens
from byheart.model.shared_prompt import Rows
from models_for_tests import close

CPU = torch.device("cpu")


@pytest.fixture
def compute(split_model, tiny_encoded, tmp_path):
    def compute_(budget: int = 2**30, memory=tiny_encoded, **arguments):
        return compute_activations(
            split_model, memory, CPU, memory_budget_bytes=budget, directory=tmp_path, **arguments
        )

    return compute_


def states(cache, memory) -> list[torch.Tensor]:
    """Each record's own states, without what all share."""
    return [cache.batch([i])[1].own[0] for i in range(len(memory))]


def test_each_records_states_are_the_prefix_of_it_alone(compute, split_model, tiny_encoded):
    cache = compute()
    assert len(cache.shared_LD) == num_shared_tokens(tiny_encoded.records) > 0
    for record, hidden_TD in zip(tiny_encoded.records, states(cache, tiny_encoded), strict=True):
        expected = split_model.prefix(torch.tensor([record.prompt_ids + record.answer_ids]))
        assert close(torch.cat([cache.shared_LD, hidden_TD]), expected.own[0])


def test_a_batch_is_as_wide_as_its_longest_record_and_padded_on_the_right(compute, tiny_encoded):
    cache = compute()
    rows = states(cache, tiny_encoded)
    hidden_BTD = cache.batch([2, 0])[1].own
    assert hidden_BTD.shape[:2] == (2, max(len(rows[2]), len(rows[0])))
    for row, index in zip(hidden_BTD, (2, 0), strict=True):
        assert torch.equal(row[: len(rows[index])], rows[index])
        assert not row[len(rows[index]) :].any()


def test_what_stands_in_the_padding_does_not_matter(compute, split_model, tiny_encoded):
    cache, pair = compute(), [0, 2]
    batch, hidden = cache.batch(pair)
    lengths = [cache.lengths[i] for i in pair]
    other_BTD = hidden.own.clone()
    other_BTD[1 if lengths[1] < lengths[0] else 0, min(lengths) :] = 7.0
    with torch.no_grad():
        other = split_model.suffix(Rows(other_BTD, hidden.shared), batch.predicting_A)
        assert close(other, split_model.suffix(hidden, batch.predicting_A))


def test_the_pad_token_does_not_matter(compute, tiny_encoded):
    for pad_id in (0, 5):
        cache = compute(memory=replace(tiny_encoded, pad_id=pad_id))
        assert torch.equal(cache.hidden_PD, compute().hidden_PD)


def test_within_the_budget_nothing_is_written(compute, tmp_path):
    num_bytes = compute().hidden_PD.nbytes
    assert compute(num_bytes).file is None
    assert not list(tmp_path.iterdir())


def test_beyond_the_budget_the_same_states_live_in_a_file(compute, tiny_encoded, tmp_path):
    in_memory = compute()
    on_disk = compute(in_memory.hidden_PD.nbytes - 1)
    assert on_disk.file == tmp_path / FILE_NAME
    assert on_disk.file.stat().st_size == in_memory.hidden_PD.nbytes
    assert torch.equal(on_disk.hidden_PD, in_memory.hidden_PD)
    assert all(map(torch.equal, states(on_disk, tiny_encoded), states(in_memory, tiny_encoded)))


def test_the_states_are_really_in_the_file(compute):
    cache = compute(0)
    content = torch.frombuffer(bytearray(cache.file.read_bytes()), dtype=torch.float32)
    assert torch.equal(content.view(cache.hidden_PD.shape), cache.hidden_PD)


def test_the_blocks_of_the_file_exist_before_it_is_mapped(compute, monkeypatch):
    # A mapped file with holes kills the process, without a word, once the disk is full.
    seen = []
    from_file = torch.from_file

    def looking(path, **arguments):
        seen.append(activations.Path(path).stat())
        return from_file(path, **arguments)

    monkeypatch.setattr(torch, "from_file", looking)
    cache = compute(0)
    assert seen[0].st_size == cache.hidden_PD.nbytes
    assert seen[0].st_blocks * 512 >= cache.hidden_PD.nbytes


def test_blocks_are_written_where_the_system_cannot_reserve_them(compute, monkeypatch):
    monkeypatch.delattr(activations.os, "posix_fallocate")
    monkeypatch.setattr(activations, "_RESERVED_AT_ONCE", 1000)
    assert torch.equal(compute(0).hidden_PD, compute().hidden_PD)


def test_a_file_left_by_a_killed_run_is_written_over(compute, tmp_path):
    (tmp_path / FILE_NAME).write_bytes(b"x" * 10**6)
    assert torch.equal(compute(0).hidden_PD, compute().hidden_PD)


def test_closing_removes_the_file(compute, tmp_path):
    compute(0).close()
    assert not list(tmp_path.iterdir())


def test_closing_twice_or_without_a_file_is_nothing(compute):
    for budget in (0, 2**30):
        cache = compute(budget)
        cache.close()
        cache.close()


def test_a_directory_that_cannot_be_written_is_told_with_the_mend(split_model, tiny_encoded, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match="free disk space or raise activation_memory_bytes"):
        compute_activations(
            split_model, tiny_encoded, CPU, memory_budget_bytes=0, directory=tmp_path / "file" / "below"
        )


def test_a_full_disk_is_told_and_nothing_is_left(compute, monkeypatch, tmp_path):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(activations.os, "posix_fallocate", full)
    with pytest.raises(ArtifactError, match="No space left on device"):
        compute(0)
    assert not list(tmp_path.iterdir())


def test_every_record_is_told_once(compute, tiny_encoded):
    told = []
    compute(advance=told.append)
    assert sum(told) == len(tiny_encoded)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_nothing_is_left_where_the_work_stops_in_the_middle(compute, tmp_path, error):
    def stop(_):
        assert (tmp_path / FILE_NAME).exists()
        raise error

    with pytest.raises(error):
        compute(0, advance=stop)
    assert not list(tmp_path.iterdir())
