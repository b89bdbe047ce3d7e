"""``byheart recite``: one prompt in, the answer out, to the byte."""

from __future__ import annotations

import sys
from pathlib import Path

from byheart.cli.bundles import open_bundle
from byheart.cli.exits import COMPLETE
from byheart.cli.live import narrating
from byheart.cli.screens import screens
from byheart.cli.visible import neutral
from byheart.cli.wording import counted
from byheart.errors import Problem, RecordsError
from byheart.export.manifest import Manifest
from byheart.memory.record import Prompt, turns
from byheart.memory.records import Memory


def recite(directory: Path, prompt: str, *, max_new_tokens: int, model: str | None) -> int:
    """Writes what the bundle's model answers: to the byte, or where a person reads, with a newline and nothing that
    could steer the terminal. A prompt that was not learnt is answered too, and stderr says so.

    Returns:
        The exit code.
    """
    manifest = Manifest.read(directory)
    text = _stdin() if prompt == "-" else prompt
    if not text:
        raise RecordsError([Problem("prompt", "it is empty; give some text, or - to read it from stdin")])
    with screens(as_json=True) as (_, progress), narrating(progress) as narrator:
        bundle = open_bundle(directory, manifest, model, narrator if progress.is_live else None)
        asked, note = _asked(text, bundle.memory)
        answer = bundle.recite(asked, max_new_tokens)
    if note:
        print(note, file=sys.stderr)
    shown = f"{neutral(answer)}\n" if sys.stdout.isatty() else answer
    sys.stdout.buffer.write(shown.encode("utf-8", "surrogatepass"))
    sys.stdout.buffer.flush()
    return COMPLETE


def _asked(text: str, memory: Memory) -> tuple[Prompt, str]:
    """What to ask for ``text``, and what to say of it; of the one conversation that ends in it, the whole."""
    if any(record.prompt == text for record in memory):
        return text, ""
    talks = [record.prompt for record in memory if not isinstance(record.prompt, str)]
    ending = [talk for talk in talks if (talk[-1].role, talk[-1].content) == ("user", text)]
    if len(ending) == 1:
        before = counted(len(turns(ending[0])) - 1, "turn")
        return ending[0], f"note: asked with the {before} before it, as one record has it"
    return text, "note: no record has this prompt"


def _stdin() -> str:
    """All of stdin, newlines as they come."""
    content = sys.stdin.buffer.read()
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        what = f"byte {error.start + 1} is not UTF-8; give the prompt in UTF-8"
        raise RecordsError([Problem("stdin", what)]) from error
