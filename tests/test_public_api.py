"""The names that users import: whoever adds or removes one does so on purpose."""

import subprocess
import sys

import pytest

import byheart


def test_the_public_names_are_these():
    assert byheart.__all__ == [
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


def test_a_list_of_what_the_package_holds_is_of_the_public_names():
    assert sorted(dir(byheart)) == sorted([*byheart.__all__, "__version__"])


@pytest.mark.parametrize("name", byheart.__all__)
def test_each_name_leads_somewhere(name):
    assert getattr(byheart, name).__name__ == {"load_base": "load"}.get(name, name)


def test_another_name_is_an_error():
    with pytest.raises(AttributeError, match="no attribute 'lern'"):
        byheart.lern  # type: ignore[attr-defined]  # noqa: B018


def test_the_light_names_load_no_torch():
    code = (
        "import sys, byheart\n"
        "byheart.Memory, byheart.Message, byheart.Record\n"
        "byheart.RunConfig, byheart.Certificate, byheart.ByheartError\n"
        "assert 'torch' not in sys.modules\n"
        "byheart.learn\n"
        "assert 'torch' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
