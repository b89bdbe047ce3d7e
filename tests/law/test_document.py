import json

import pytest
from pydantic import ValidationError

from byheart.errors import ArtifactError
from byheart.law.document import StoredDocument


class Probe(StoredDocument):
    kind = "probe"
    schema_version = 2
    mend = "probe again"

    depth: float
    parts: tuple[int, ...] = ()


def changed(path, **values):
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_what_is_saved_is_headed_and_read_back(tmp_path):
    path = tmp_path / "p.json"
    Probe(depth=0.5, parts=(1, 2)).save(path)
    assert json.loads(path.read_text()) == {"kind": "probe", "schema_version": 2, "depth": 0.5, "parts": [1, 2]}
    assert Probe.read(path) == Probe(depth=0.5, parts=(1, 2))


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"parts": [1, "x"]}, r"p\.json is not a whole probe: parts\.1: .*; probe again"),
        ({"colour": "red"}, r"is not a whole probe: colour: .*; probe again"),
        ({"schema_version": 3}, "has schema version 3, this byheart reads probe up to 2"),
        ({"kind": "law"}, "is not a byheart probe"),
    ],
    ids=str,
)
def test_what_is_not_whole_is_refused_with_place_and_mend(tmp_path, values, told):
    path = tmp_path / "p.json"
    Probe(depth=0.5).save(path)
    changed(path, **values)
    with pytest.raises(ArtifactError, match=told):
        Probe.read(path)


def test_what_is_no_number_is_never_written():
    with pytest.raises(ValidationError, match="finite number"):
        Probe(depth=float("nan"))
