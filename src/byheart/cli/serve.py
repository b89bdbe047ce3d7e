"""``byheart serve``: a bundle behind an address that OpenAI's clients speak to, until it is told to stop."""

from __future__ import annotations

import contextlib
import json
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text

from byheart.cli.bundles import open_bundle
from byheart.cli.exits import COMPLETE
from byheart.cli.interrupt import Interruption
from byheart.cli.live import Narrator, narrating
from byheart.cli.screens import Screen, print_json, screens
from byheart.cli.visible import visible
from byheart.cli.wording import counted
from byheart.export.llama_cpp import NAME, xllamacpp
from byheart.export.manifest import Manifest
from byheart.export.readable import refuse_misread
from byheart.export.request import Listener
from byheart.serving.address import KEY_VARIABLE, Address

if TYPE_CHECKING:
    from byheart.serving.front import Answered
    from byheart.serving.prepared import Prepared
    from byheart.serving.server import BundleServer

_SECONDS_BETWEEN_LOOKS = 0.1


def serve(
    directory: Path,
    *,
    host: str,
    port: int,
    api_key_file: Path | None,
    base_gguf: str | None,
    model: str | None,
    as_json: bool,
) -> int:
    """Serves a bundle until Ctrl-C or SIGTERM; what would be refused is refused before anything heavy is imported.

    Returns:
        The exit code.
    """
    address = Address.parse(host, port, api_key_file)
    manifest = Manifest.read(directory)
    refuse_misread(manifest, directory, "gguf")
    xllamacpp()
    address.refuse_taken()
    stdout = sys.stdout
    with screens(as_json) as (results, progress), Interruption() as interruption:
        with contextlib.ExitStack() as stack:
            with narrating(progress) as narrator:
                prepared = _prepared(directory, manifest, model, base_gguf, narrator)
                base = prepared.base
                narrator.begin(f"starting {NAME} on {base.path.name} ({base.quantisation})")
                server = stack.enter_context(_server(prepared, address, narrator, progress))
            with contextlib.suppress(KeyboardInterrupt):  # it answers: from here on a signal is how it ends
                if as_json:
                    with contextlib.redirect_stdout(stdout):
                        print_json(_plain(server.url, prepared, address))
                else:
                    _print_banner(results, server.url, prepared, address)
                while not interruption():
                    time.sleep(_SECONDS_BETWEEN_LOOKS)
        progress.paragraph("stopped")
    return COMPLETE


def _prepared(
    directory: Path, manifest: Manifest, model: str | None, base_gguf: str | None, narrator: Narrator
) -> Prepared:
    """What the server needs of the bundle, which is let go of: the engine has its own copy of the weights."""
    bundle = open_bundle(directory, manifest, model, narrator)
    from byheart.serving.prepared import prepare

    return prepare(bundle, directory, base_gguf, narrator)


def _server(prepared: Prepared, address: Address, listener: Listener, screen: Screen) -> BundleServer:
    import torch

    from byheart.serving.server import BundleServer

    return BundleServer(
        prepared,
        address,
        listener,
        num_threads=torch.get_num_threads(),
        on_answer=lambda answered: _log(screen, answered),
    )


def _log(screen: Screen, answered: Answered) -> None:
    """One line a prompt, of which nothing is said."""
    if answered.path == "/health":
        return
    source = {True: ", from memory", False: ", by the base model", None: ""}[answered.is_known]
    screen.paragraph(f"{visible(answered.path)}  {answered.status}  {answered.seconds:.2f} s{source}")


def _plain(url: str, prepared: Prepared, address: Address) -> dict[str, Any]:
    """What ``--json`` says once it answers."""
    return {
        "base_url": f"{url}/v1",
        "model": prepared.name,
        "num_records": len(prepared.messages),
        "num_context_tokens": prepared.num_context_tokens,
        "asks_for_key": bool(address.api_keys),
        "base_gguf": str(prepared.base.path),
        "quantisation": prepared.base.quantisation,
        "adapter_gguf": str(prepared.adapter_gguf),
    }


def _print_banner(screen: Screen, url: str, prepared: Prepared, address: Address) -> None:
    key = f"${KEY_VARIABLE}" if address.api_keys else None
    messages = json.dumps([{"role": "user", "content": "…"}], ensure_ascii=False)
    header = f' -H "Authorization: Bearer {key}"' if key else ""
    body = shlex.quote(f'{{"messages": {messages}}}')
    in_python = f'os.environ["{KEY_VARIABLE}"]' if key else '"-"'
    lines = [
        f"serving {visible(prepared.name)}: {counted(len(prepared.messages), 'record')}, every prompt with the "
        f"certified token ids; {NAME} on {prepared.base.path.name} ({prepared.base.quantisation})",
        f"address  {url}/v1" + (", asks for an API key" if key else ""),
        f"curl     curl {url}/v1/chat/completions -H 'Content-Type: application/json'{header} -d {body}",
        "python   " + ("import os; " if key else "") + "from openai import OpenAI",
        f'         client = OpenAI(base_url="{url}/v1", api_key={in_python})',
        f"         client.chat.completions.create(model={json.dumps(prepared.name)}, messages={messages})",
    ]
    if not prepared.learns_end:
        lines.append("note     the end of answers was not learnt (encode.learn_end): give max_tokens")
    for line in [*lines, "Ctrl-C stops it"]:
        screen.print(Text(line), soft_wrap=True)
