"""The memory that growth.py shows beside the one that was told, with the real embedded model."""

# pyright: reportMissingImports=false

import os

import learning_run
import measure
import pytest

from embedded_for_tests import NEEDS_EMBEDDED_MODEL

pytestmark = NEEDS_EMBEDDED_MODEL


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="the system does not tell how far it rose")
def test_the_memory_that_is_told_before_the_first_step_is_kept():
    _, pairs = measure.phonebook(None, 8)
    run = learning_run.learnt(learning_run.Job(pairs, {"learn": {"epochs": 2, "max_growths": 0}}))
    told_bytes = 1e6 * float(run["told_memory"].removesuffix(" MB"))
    # So short a run meets few shapes, and takes a small part of what libraries come to keep.
    assert told_bytes / 8 < run["peak_above_model_bytes"] < told_bytes
