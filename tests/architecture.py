"""The house rules of docs/design.md as a function of a source tree: who may import whom, and how long a file may be."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

LONGEST_FILE = 300

FOUNDATION = {"errors", "fingerprint", "artifacts", "settings"}
"""Modules below every room."""

ROOMS: dict[str, set[str]] = {
    "memory": set(),
    "method": set(),
    "model": set(),
    "learning": {"memory", "method", "model"},
    "certification": {"memory", "method", "model"},
    "export": {"memory", "method", "model", "learning", "certification", "config"},
    "serving": {"memory", "model", "export"},
    "integrations": {"method", "learning"},
    "law": set(),
    "tasks": {"memory"},
    "config": {"memory", "method", "model", "learning", "certification"},
    "progress": {"learning"},
    "sizing": set(),
    "planning": {"memory", "method", "model", "learning", "config", "progress", "law", "sizing"},
    "job": {
        "memory",
        "method",
        "model",
        "learning",
        "certification",
        "export",
        "config",
        "progress",
        "planning",
    },
    "pipeline": {"memory", "model", "export", "config", "progress", "job"},
    "recall": {"memory", "model", "certification", "export"},
    "sweep": {"memory", "method", "model", "learning", "certification", "export", "config", "pipeline", "tasks", "law"},
    "calibrating": {"memory", "model", "config", "progress", "law", "tasks", "sweep", "planning"},
    "report": {"law", "sweep", "certification", "export"},
    "paper": {
        "memory",
        "method",
        "model",
        "learning",
        "certification",
        "export",
        "config",
        "pipeline",
        "tasks",
        "sweep",
        "law",
        "report",
    },
    "cli": {"*"},
    "__main__": {"*"},
    "__init__": {"*"},
}
"""Room, or module that is none → the rooms and modules it may import beside the foundation and itself."""

ONLY_IN: dict[str, set[str]] = {
    "transformers": {"model"},
    "peft": {"model"},
    "datasets": {"memory"},
    "matplotlib": {"report"},
    "pyarrow": {"sweep"},
    "ray": {"sweep"},
    "scipy": {"law"},
    "xllamacpp": {"export"},
    "typer": {"cli"},
    "rich": {"cli"},
}
"""Library → the rooms that may import it."""

NOWHERE = {"pickle", "dill", "joblib", "marshal", "shelve", "cloudpickle"}
"""Libraries that run what they read."""


def broken_rules(package: Path) -> Iterator[str]:
    """A sentence for each rule that a file of ``package`` breaks."""
    for path in sorted(package.rglob("*.py")):
        where = path.relative_to(package)
        source = path.read_text(encoding="utf-8")
        num_lines = len(source.splitlines())
        if num_lines > LONGEST_FILE:
            yield f"{where} has {num_lines} lines, more than {LONGEST_FILE}"
        room = where.parts[0].removesuffix(".py")
        if room not in ROOMS and room not in FOUNDATION:
            yield f"{where} is in no room of the plan"
            continue
        tree = ast.parse(source)
        for name in imported(tree):
            yield from _broken_by_import(where, room, name, package.name)
        if unpickles(tree):
            yield f"{where} calls torch.load, which unpickles"


def _broken_by_import(where: Path, room: str, name: str, package: str) -> Iterator[str]:
    library, *inner = name.split(".")
    if not library:
        yield f"{where} imports relatively; write the full name"
    if library in NOWHERE:
        yield f"{where} imports {library}"
    if library in ONLY_IN and room not in ONLY_IN[library]:
        yield f"{where} imports {library}, which only {', '.join(sorted(ONLY_IN[library]))} may"
    if library != package or not inner:
        return
    allowed = FOUNDATION if room in FOUNDATION else ROOMS[room] | FOUNDATION | {room}
    if inner[0] not in allowed and "*" not in allowed:
        yield f"{where} imports {name}, which {room} may not"


def imported(tree: ast.AST) -> Iterator[str]:
    """Every module that is imported anywhere in a file, by its full name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                yield "." * node.level
            # ``from byheart import pipeline`` imports a module as much as ``import byheart.pipeline`` does.
            elif node.module == "byheart":
                yield from (f"byheart.{alias.name}" for alias in node.names)
            else:
                yield node.module or ""


def unpickles(tree: ast.AST) -> bool:
    """Whether a file calls ``torch.load``."""
    return any(
        isinstance(node, ast.Attribute)
        and node.attr == "load"
        and isinstance(node.value, ast.Name)
        and node.value.id == "torch"
        for node in ast.walk(tree)
    )
