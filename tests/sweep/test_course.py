import numpy as np
import pytest
from safetensors.numpy import save

from byheart.errors import ArtifactError
from byheart.sweep.course import Course, course_of
from byheart.sweep.results import CELLS, read_tokens, write_result
from sweeps_for_tests import result

NLL_NATS = np.array([4.0, 2.5, 0.5], np.float32)
STUBBORN = np.array([50, 20, 3], np.int32)


def kept_course(directory) -> Course | None:
    """Of the one cell that was written there."""
    return course_of(read_tokens(directory, "a" * 16), directory / CELLS / ("a" * 16))


def test_a_course_is_what_the_cell_kept(tmp_path):
    write_result(tmp_path, result(), save({"epoch_nll_nats": NLL_NATS, "epoch_stubborn_tokens": STUBBORN}))
    assert kept_course(tmp_path) == Course((4.0, 2.5, 0.5), (50, 20, 3))


def test_a_cell_that_kept_no_epochs_has_none(tmp_path):
    write_result(tmp_path, result(), save({"nll_nats": NLL_NATS}))
    assert kept_course(tmp_path) is None


@pytest.mark.parametrize(
    "tokens",
    [{"epoch_nll_nats": NLL_NATS}, {"epoch_nll_nats": NLL_NATS, "epoch_stubborn_tokens": STUBBORN[:2]}],
    ids=["half", "lengths"],
)
def test_a_course_that_is_not_whole_is_told(tmp_path, tokens):
    write_result(tmp_path, result(), save(tokens))
    with pytest.raises(ArtifactError, match="are not whole; remove"):
        kept_course(tmp_path)
