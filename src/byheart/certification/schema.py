"""The certificate's JSON schema, for readers that are not Python: kept as a file beside this one, held equal by a test.

python -m byheart.certification.schema        # writes the file anew, after a change on purpose
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from byheart.artifacts import write_bytes
from byheart.certification.certificate import KIND, SCHEMA_VERSION, Certificate

SCHEMA_FILE = Path(__file__).with_name("certificate.schema.json")


def schema() -> dict[str, Any]:
    """JSON schema of a ``certificate.json``, its two head fields included."""
    document = Certificate.model_json_schema(mode="serialization")
    head = {
        "kind": {"const": KIND, "description": "What the file is."},
        "schema_version": {"const": SCHEMA_VERSION, "description": "Of this schema."},
    }
    document["properties"] = {**head, **document["properties"]}
    document["required"] = [*head, *document["required"]]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **document}


def write_schema(path: Path = SCHEMA_FILE) -> None:
    """Writes the schema's file."""
    write_bytes(path, (json.dumps(schema(), indent=2, ensure_ascii=False) + "\n").encode("utf-8"))


if __name__ == "__main__":
    write_schema()
