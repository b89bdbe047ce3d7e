"""Every record of a bundle run in llama.cpp: base GGUF + adapter GGUF → `EngineCertificate`.

The verdict is on token ids: from the prompt ids that were certified, the engine's greedy answer must be the ids that
were certified. Where the engine's own chat template gives those prompt ids too, the record is asked once more through
it, as a user would ask, and the text of the chat answer is held against the record's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import torch

from byheart.certification.check import TokenTexts, first_failure
from byheart.errors import BundleError, ModelError
from byheart.export.bundle import Bundle
from byheart.export.engine_certificate import ChatVerdict, EngineCertificate, EngineNumerics, EngineRecord
from byheart.export.gguf_base import BaseGguf
from byheart.export.llama_cpp import NAME, LlamaCpp, Run, engine_version, margin_nats
from byheart.fingerprint import file_sha256
from byheart.memory.encode import EncodedMemory, EncodedRecord, encode
from byheart.memory.record import Record
from byheart.memory.template import conversation

_ROOM_TOKENS = 64


def encoded_as_certified(bundle: Bundle) -> EncodedMemory:
    """The bundle's records in token ids, the very ones that were certified.

    Raises:
        BundleError: they have other ids now.
    """
    encoded = encode(bundle.memory, bundle.base.tokenizer, bundle.encode_config, bundle.base.max_tokens)
    if encoded.fingerprint != bundle.certificate.subject.memory_fingerprint:
        raise BundleError("the records have other token ids than those that were certified; learn again")
    return encoded


def context_tokens(encoded: EncodedMemory) -> int:
    """The context that the longest record needs, and some room: an engine rounds in its own way."""
    return max(record.num_tokens for record in encoded.records) + _ROOM_TOKENS


def open_engine(encoded: EncodedMemory, base: BaseGguf, adapter_gguf: Path | None) -> LlamaCpp:
    """llama.cpp with room for the longest record, and as many threads as torch has."""
    return LlamaCpp(
        base.path,
        adapter_gguf,
        num_context_tokens=context_tokens(encoded),
        num_threads=torch.get_num_threads(),
    )


def certify_in_engine(
    bundle: Bundle, base: BaseGguf, adapter_gguf: Path, advance: Callable[[int], None] = lambda _: None
) -> EngineCertificate:
    """Runs every record of ``bundle`` in llama.cpp at temperature 0.

    Args:
        bundle: whose records are run.
        base: the base model's file.
        adapter_gguf: the adapter's.
        advance: told a number of records after each.

    Raises:
        ModelError: the engine cannot load the files.
        BundleError: the records have other token ids than those certified.
    """
    encoded = encoded_as_certified(bundle)
    texts = TokenTexts(bundle.base)
    records: list[EngineRecord] = []
    with open_engine(encoded, base, adapter_gguf) as engine:
        for record, ids in zip(bundle.memory, encoded.records, strict=True):
            run = engine.complete(ids.prompt_ids, len(ids.answer_ids))
            records.append(_judge(record, ids, run, _chat(engine, bundle, record, ids), texts))
            advance(1)
    return EngineCertificate(
        numerics=EngineNumerics(
            engine=NAME,
            version=engine_version(),
            base_file=base.path.name,
            base_sha256=base.sha256,
            quantisation=base.quantisation,
            adapter_file_sha256=file_sha256(adapter_gguf),
            num_threads=torch.get_num_threads(),
        ),
        adapter_sha256=bundle.certificate.subject.adapter_sha256,
        memory_fingerprint=encoded.fingerprint,
        records=tuple(records),
    )


def _chat(engine: LlamaCpp, bundle: Bundle, record: Record, ids: EncodedRecord) -> ChatVerdict:
    """What the engine's own chat makes of a record."""
    config = bundle.encode_config
    if config.template == "raw":
        return "not asked"
    messages = conversation(record.prompt, config.system_prompt)
    try:
        if engine.chat_prompt_ids(messages, config.template_kwargs) != list(ids.prompt_ids):
            return "other prompt"
    except ModelError:  # its template refuses what transformers' renders
        return "other prompt"
    said = engine.chat(messages, len(ids.answer_ids), config.template_kwargs)
    return "exact" if said == record.answer else "other text"


def _judge(record: Record, ids: EncodedRecord, run: Run, chat: ChatVerdict, texts: TokenTexts) -> EngineRecord:
    failure = first_failure(ids.answer_ids, run.ids, texts)
    same = list(zip(ids.answer_ids[: failure.position if failure else None], run.candidates, strict=False))
    return EngineRecord(
        id=record.id,
        verdict="failed" if failure else "exact",
        p=tuple(None if known is None else math.exp(known[token_id]) for token_id, known in same),
        logit_margin=tuple(None if known is None else margin_nats(known, token_id) for token_id, known in same),
        first_failure=failure,
        chat=chat,
    )
