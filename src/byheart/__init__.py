"""byheart: makes a language model learn texts by heart, and proves that it has.

    memory = byheart.Memory.from_file("contacts.jsonl")
    bundle = byheart.learn(memory, out="runs/contacts")
    bundle.certificate.is_complete                       # every record comes back to the letter

The names below are loaded when they are first used: importing byheart loads no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from byheart.certification.certificate import Certificate
    from byheart.config import RunConfig
    from byheart.errors import ByheartError
    from byheart.export.bundle import Bundle
    from byheart.integrations import MemFTLoss
    from byheart.memory.record import Message, Record
    from byheart.memory.records import Memory
    from byheart.model.base import Base
    from byheart.model.base import load as load_base
    from byheart.pipeline import learn
    from byheart.recall import certify, recite

__version__ = "0.1.0"

_PLACES = {
    "Base": "byheart.model.base:Base",
    "Bundle": "byheart.export.bundle:Bundle",
    "ByheartError": "byheart.errors:ByheartError",
    "Certificate": "byheart.certification.certificate:Certificate",
    "MemFTLoss": "byheart.integrations:MemFTLoss",
    "Memory": "byheart.memory.records:Memory",
    "Message": "byheart.memory.record:Message",
    "Record": "byheart.memory.record:Record",
    "RunConfig": "byheart.config:RunConfig",
    "certify": "byheart.recall:certify",
    "learn": "byheart.pipeline:learn",
    "load_base": "byheart.model.base:load",
    "recite": "byheart.recall:recite",
}

__all__ = [
    "Base",
    "Bundle",
    "ByheartError",
    "Certificate",
    "MemFTLoss",
    "Memory",
    "Message",
    "Record",
    "RunConfig",
    "certify",
    "learn",
    "load_base",
    "recite",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'byheart' has no attribute {name!r}")
    module, attribute = _PLACES[name].split(":")
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
