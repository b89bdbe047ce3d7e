"""A bundle made ready for llama.cpp: its files, its template, its prompts. What needs torch ends here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from byheart.export.bundle import Bundle
from byheart.export.engine_check import context_tokens, encoded_as_certified
from byheart.export.gguf import convert
from byheart.export.gguf_base import BaseGguf, base_gguf
from byheart.export.gguf_converter import converter_version
from byheart.export.manifest import ADAPTER_CONFIG_FILE, WEIGHTS_FILE, Manifest
from byheart.export.readable import refuse_misread
from byheart.export.request import Listener
from byheart.fingerprint import fingerprint
from byheart.memory.template import conversation
from byheart.model.catalog import cache_directory
from byheart.serving.template import served_template

_CONVERSION_VERSION = 1
_LEAST_CONTEXT_TOKENS = 2048


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a server needs of a bundle; holds no weights.

    Attributes:
        name: by which clients know it: the bundle's directory's.
        base: the base model's GGUF file.
        adapter_gguf: the adapter's.
        chat_template: for the engine.
        template_kwargs: variables for it.
        messages: of each record, what a client sends.
        prompt_ids: of each record, as certified.
        num_context_tokens: of prompt and answer together.
        learns_end: whether the end of an answer was learnt with it.
    """

    name: str
    base: BaseGguf
    adapter_gguf: Path
    chat_template: str
    template_kwargs: Mapping[str, Any]
    messages: tuple[list[dict[str, str]], ...]
    prompt_ids: tuple[tuple[int, ...], ...]
    num_context_tokens: int
    learns_end: bool


def prepare(bundle: Bundle, directory: Path, base_file: str | None, listener: Listener) -> Prepared:
    """Finds or makes the files, and encodes the prompts as they were certified.

    Args:
        bundle: read from ``directory``.
        directory: of the bundle; nothing is written there.
        base_file: a base GGUF or a type to make one of; None: the base's own.
        listener: told when something takes long.

    Raises:
        BundleError: llama.cpp would misread the adapter, or the records have other ids than those certified.
        SettingsError: the base's GGUF file is not at hand.
        ModelError: a library is missing, or the converter refuses.
        ArtifactError: the cache cannot be written.
    """
    refuse_misread(bundle.manifest, directory, "gguf")
    encoded = encoded_as_certified(bundle)
    base = base_gguf(bundle.base, base_file, listener.say)
    adapter = adapter_place(bundle.manifest)
    if not adapter.is_file():
        listener.say(f"converting the adapter to {adapter} (once)")
        convert(bundle, directory, adapter, base)
    usual = min(_LEAST_CONTEXT_TOKENS, bundle.base.max_tokens or _LEAST_CONTEXT_TOKENS)
    config = bundle.encode_config
    return Prepared(
        name=directory.resolve().name,
        base=base,
        adapter_gguf=adapter,
        chat_template=served_template(bundle.base.tokenizer, config),
        template_kwargs=config.template_kwargs,
        messages=tuple(conversation(record.prompt, None) for record in bundle.memory),
        prompt_ids=tuple(tuple(record.prompt_ids) for record in encoded.records),
        num_context_tokens=max(context_tokens(encoded), usual),
        learns_end=config.learn_end,
    )


def adapter_place(manifest: Manifest) -> Path:
    """Where the adapter's GGUF file is kept: in the user's cache, by all that decides what is in it.

    Raises:
        ModelError: the converter is not installed.
    """
    adapter = [manifest.files[WEIGHTS_FILE], manifest.files[ADAPTER_CONFIG_FILE]]
    key = fingerprint([adapter, manifest.base, converter_version(), _CONVERSION_VERSION])
    return cache_directory() / "gguf" / f"{key[:16]}-adapter.gguf"
