"""What stands in the law's files: frozen records that are whole or refused, some of them a file of their own."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from byheart.artifacts import read_json, write_json
from byheart.errors import ArtifactError


class Document(BaseModel):
    """A record without surprises: no unknown keys, no numbers that are none."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)


class StoredDocument(Document):
    """A record that is a JSON file, headed by its kind and schema version."""

    kind: ClassVar[str]
    """What it is called, in its head and in errors."""
    schema_version: ClassVar[int]
    """Files of a newer one are refused."""
    mend: ClassVar[str]
    """What to do about a damaged file."""

    def save(self, path: Path) -> None:
        """Writes the file, whole or not at all.

        Raises:
            ArtifactError: it cannot be written.
        """
        write_json(path, self.kind, self.schema_version, self.model_dump(mode="json"))

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads what `save` wrote.

        Raises:
            ArtifactError: missing, damaged, or of a newer schema.
        """
        try:
            return cls.model_validate(read_json(path, cls.kind, cls.schema_version))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(map(str, first["loc"]))
            raise ArtifactError(f"{path} is not a whole {cls.kind}: {place}: {first['msg']}; {cls.mend}") from error
