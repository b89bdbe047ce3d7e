"""A page → the bytes of one HTML file that holds all it needs and asks nothing of a network.

What the page shows is JSON in a script element that no browser runs: ``<``, ``>`` and ``&`` are escaped there, so that
no text can end the element, and so is all beyond ASCII. The page's own code reads it and writes it as text. A content
security policy allows that code and that style alone, by their hashes, and no way of turning text into markup: what a
record holds stays text even were the code to err.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from string import Template
from typing import Any

from byheart.report.blocks import Block, Page

FOLDER = Path(__file__).with_name("page")
STYLES = ("tokens.css", "layout.css", "blocks.css", "answers.css")
"""In the order in which they apply."""
SCRIPTS = (
    "dom.js",
    "wording.js",
    "tip.js",
    "views.js",
    "scale.js",
    "chart.js",
    "pointer.js",
    "heatmap.js",
    "table.js",
    "plain.js",
    "token.js",
    "answers.js",
    "grid.js",
    "main.js",
)
"""In the order in which they are run."""
HEAD = "<!doctype html>\n<!-- a byheart report -->\n"
"""How each page begins: what may be written over."""
LARGEST_BYTES = 10_000_000
"""Above this a page is slow to send and to open."""
_ESCAPES = {ord("<"): "\\u003c", ord(">"): "\\u003e", ord("&"): "\\u0026"}


def html(page: Page) -> bytes:
    """The file. Equal pages give equal bytes.

    Example:
        >>> from byheart.report.blocks import Page, Prose, Section
        >>> file = html(Page("Notes", "One note.", True, [Section("All", [Prose("<b>not bold</b>")])]))
        >>> b"<b>" in file
        False
    """
    style, script = _assembled(STYLES, ""), _assembled(SCRIPTS, '"use strict";\n')
    script = f"(() => {{\n{script}}})();\n"
    return (
        Template((FOLDER / "page.html").read_text(encoding="utf-8"))
        .substitute(head=HEAD, policy=_policy(style, script), style=style, script=script, data=data(page))
        .encode()
    )


def data(page: Page) -> str:
    """What a page shows, as JSON that can stand in a script element: ASCII, without the characters of markup."""
    return json.dumps(page, default=_plain, allow_nan=False, separators=(",", ":")).translate(_ESCAPES)


def _plain(value: Any) -> dict[str, Any]:
    if not is_dataclass(value) or isinstance(value, type):
        raise TypeError(f"a page cannot show a {type(value).__name__}")
    named = {each.name: getattr(value, each.name) for each in fields(value)}
    return {"kind": value.kind, **named} if isinstance(value, Block) else named


@cache
def _assembled(names: tuple[str, ...], head: str) -> str:
    return head + "\n".join((FOLDER / name).read_text(encoding="utf-8") for name in names)


def _policy(style: str, script: str) -> str:
    allowed = {
        "default-src": "'none'",
        "style-src": _hash(style),
        "script-src": _hash(script),
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    return "; ".join(f"{what} {where}" for what, where in allowed.items())


def _hash(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
