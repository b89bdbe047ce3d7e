import pytest

from byheart.cli.bundles import open_bundle
from byheart.cli.live import Narrator
from byheart.export.manifest import Manifest


class Heard(Narrator):
    def __init__(self):
        self.begun, self.said = [], []

    def begin(self, name):
        self.begun.append(name)

    def say(self, sentence):
        self.said.append(sentence)


@pytest.fixture
def slow_load(monkeypatch, tiny_base):
    """A model whose files are made first, which takes a while and is told."""

    def load(config, announce):
        announce(f"making {config.name}")
        return tiny_base

    monkeypatch.setattr("byheart.export.bundle.load", load)
    monkeypatch.setattr("byheart.model.base.load", load)


@pytest.mark.usefixtures("slow_load")
@pytest.mark.parametrize("elsewhere", [None, "over-there"])
def test_what_takes_long_while_a_bundle_is_opened_is_told(bundle, elsewhere):
    manifest, heard = Manifest.read(bundle), Heard()
    name = elsewhere or manifest.summary.model
    open_bundle(bundle, manifest, elsewhere, heard)
    assert heard.begun == [f"loading {name}"]
    assert heard.said == [f"making {name}"]


@pytest.mark.usefixtures("slow_load")
def test_nobody_need_be_told(bundle):
    assert len(open_bundle(bundle, Manifest.read(bundle), None, None).memory) == 4
