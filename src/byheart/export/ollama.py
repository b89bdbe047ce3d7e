"""``--to ollama``: a directory for ``ollama create``: base, adapter, and a Modelfile under which prompts have the
certified ids.

Ollama writes prompts by a Go template of its own, adds a begin-of-sequence token where the base's tokenizer says so,
and samples with a penalty on repetition unless told otherwise. The Modelfile settles all three; before it is written
every record's prompt is rendered by it and read by llama.cpp's tokenizer, which Ollama's agrees with, and must have the
ids that were certified.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
from pathlib import Path

from byheart.errors import BundleError
from byheart.export.bundle import Bundle
from byheart.export.engine_check import encoded_as_certified, open_engine
from byheart.export.gguf import check, convert
from byheart.export.gguf_base import BaseGguf, base_gguf
from byheart.export.go_template import ChatPieces, Turns
from byheart.export.llama_cpp import NAME
from byheart.export.output import refuse_occupied, whole_directory
from byheart.export.readable import refuse_misread
from byheart.export.request import ENGINES, Exported, ExportRequest, Listener
from byheart.memory.encode import EncodedMemory
from byheart.memory.record import Message
from byheart.memory.template import chat_template, conversation
from byheart.memory.tokenizer import text_of

ENGINE = ENGINES["ollama"]
MODELFILE = "Modelfile"
ADAPTER_FILE = "adapter.gguf"
BASE_FILE = "base.gguf"
_LEAST_CONTEXT_TOKENS = 4096
_RAW = ChatPieces(start="", start_system=None, system_user="", user_assistant="", assistant_user="", end="")


def export(bundle: Bundle, request: ExportRequest, listener: Listener) -> Exported:
    """Writes the Modelfile with the two files that it names; with ``request.check`` adds llama.cpp's certificate to the
    bundle, which is the engine that Ollama runs adapters in.

    Raises:
        BundleError: Ollama would misread the adapter, or its template cannot give the certified prompts.
        SettingsError: the base's GGUF file is not at hand.
        ModelError: a library is missing, or the converter or the engine refuses.
        ArtifactError: something else is where it is to be written.
    """
    refuse_misread(bundle.manifest, request.directory, request.name)
    refuse_occupied(request)
    pieces = pieces_of(bundle)
    encoded = encoded_as_certified(bundle)
    base = base_gguf(bundle.base, request.base_gguf, listener.say)
    pieces = proved(pieces, bundle, encoded, base)
    listener.say(f"under the Modelfile's template every prompt has the certified token ids, read by {NAME}'s tokenizer")
    certificate = None
    with whole_directory(request, bundle.certificate.subject.adapter_sha256) as working:
        convert(bundle, request.directory, working / ADAPTER_FILE, base)
        linked(base.path, working / BASE_FILE)
        (working / MODELFILE).write_text(modelfile(pieces, bundle, encoded), encoding="utf-8")
        if request.check:
            certificate = check(bundle, base, working / ADAPTER_FILE, listener)
            certificate.save(request.directory)
    name = model_name(request.directory)
    command = f"ollama create {name} -f {shlex.quote(str(request.out / MODELFILE))} && ollama run {name}"
    files = (MODELFILE, ADAPTER_FILE, BASE_FILE)
    return Exported(request.out, files, (("ollama", command),), engine_certificate=certificate)


def model_name(directory: Path) -> str:
    """A name that Ollama takes for a model, as near to the directory's as may be.

    >>> model_name(Path("/runs/My contacts (2)"))
    'my-contacts-2'
    """
    return re.sub(r"[^a-z0-9_.-]+", "-", directory.resolve().name.lower()).strip("-_.") or "by-heart"


def pieces_of(bundle: Bundle) -> ChatPieces:
    """The fixed text of the template that the bundle was learnt with, its system prompt among it.

    Raises:
        BundleError: the template does more than write fixed text.
    """
    config, tokenizer = bundle.encode_config, bundle.base.tokenizer
    if config.template == "raw":
        return _RAW
    template = chat_template(tokenizer, config)

    def render(turns: Turns) -> str:
        said = conversation(tuple(Message(**turn) for turn in turns), config.system_prompt)
        return tokenizer.apply_chat_template(
            said, chat_template=template, add_generation_prompt=True, tokenize=False, **config.template_kwargs
        )

    return ChatPieces.derived(render)


def proved(pieces: ChatPieces, bundle: Bundle, encoded: EncodedMemory, base: BaseGguf) -> ChatPieces:
    """The pieces under which every record's prompt has the certified ids in llama.cpp's tokenizer.

    Raises:
        BundleError: a record's prompt has others.
    """
    with open_engine(encoded, base, None) as engine:
        first = encoded.records[0].prompt_ids[0]
        added = engine.prompt_ids("")  # what the tokenizer puts before any text
        if added and added[0] == first and pieces is not _RAW:
            pieces = pieces.without_begin(text_of(bundle.base.tokenizer, added[:1]))
        for record, ids in zip(bundle.memory, encoded.records, strict=True):
            if engine.prompt_ids(pieces.render(conversation(record.prompt, None))) != list(ids.prompt_ids):
                raise BundleError(
                    f"record {record.id}: under {ENGINE}'s template its prompt has other token ids than the certified "
                    "ones: the chat template or the tokenizer rewrites what is said; serve --to gguf with llama.cpp"
                )
    return pieces


def modelfile(pieces: ChatPieces, bundle: Bundle, encoded: EncodedMemory) -> str:
    """The Modelfile: files, template, where an answer ends, and nothing between the logits and the argmax."""
    longest = max(record.num_tokens for record in encoded.records)
    lines = [
        f"# {len(encoded):,} records learnt by heart; adapter {bundle.certificate.subject.adapter_sha256[:12]}",
        f"FROM ./{BASE_FILE}",
        f"ADAPTER ./{ADAPTER_FILE}",
        f'TEMPLATE """{pieces.go_template()}"""',
        "PARAMETER temperature 0",
        "PARAMETER repeat_penalty 1",
        f"PARAMETER num_ctx {max(_LEAST_CONTEXT_TOKENS, 2 * longest)}",
    ]
    if encoded.stop_id is not None:
        lines.append(f'PARAMETER stop "{text_of(bundle.base.tokenizer, [encoded.stop_id])}"')
    return "\n".join(lines) + "\n"


def linked(source: Path, target: Path) -> None:
    """One file under two names where the disk allows it, else a copy."""
    try:
        os.link(source.resolve(), target)  # not a link itself, such as those in the hub's cache, which lead from there
    except OSError:
        shutil.copyfile(source, target)
