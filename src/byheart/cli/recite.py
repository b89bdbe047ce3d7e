"""``byheart recite``: one prompt in, the answer out, to the byte."""

from __future__ import annotations

import sys
from pathlib import Path

from byheart.cli.bundles import open_bundle
from byheart.cli.exits import COMPLETE
from byheart.cli.live import narrating
from byheart.cli.screens import screens
from byheart.errors import Problem, RecordsError
from byheart.export.manifest import Manifest


def recite(directory: Path, prompt: str, *, max_new_tokens: int, model: str | None) -> int:
    """Writes what the bundle's model answers; a newline is added only where a person reads.

    Returns:
        The exit code.
    """
    manifest = Manifest.read(directory)
    text = _stdin() if prompt == "-" else prompt
    if not text:
        raise RecordsError([Problem("prompt", "it is empty; give some text, or - to read it from stdin")])
    with screens(as_json=True) as (_, progress), narrating(progress) as narrator:
        if progress.is_live:
            narrator.begin(f"loading {manifest.summary['model'] if model is None else model}")
        answer = open_bundle(directory, manifest, model).recite(text, max_new_tokens)
    sys.stdout.buffer.write(answer.encode("utf-8", "surrogatepass"))
    if sys.stdout.isatty():
        sys.stdout.buffer.write(b"\n")
    sys.stdout.buffer.flush()
    return COMPLETE


def _stdin() -> str:
    """All of stdin, newlines as they come."""
    content = sys.stdin.buffer.read()
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        what = f"byte {error.start + 1} is not UTF-8; give the prompt in UTF-8"
        raise RecordsError([Problem("stdin", what)]) from error
