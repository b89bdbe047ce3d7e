import socket

import pytest

from byheart.errors import ArtifactError, SettingsError
from byheart.serving.address import Address


def parse(host="127.0.0.1", port=8080, file=None, **environment):
    return Address.parse(host, port, file, environment)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_this_machine_alone_needs_no_key(host):
    assert parse(host).is_loopback


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", ""])
def test_where_others_can_ask_a_key_is_needed(host):
    with pytest.raises(SettingsError, match=r"--api-key-file FILE, or set BYHEART_API_KEY; or keep to 127\.0\.0\.1"):
        parse(host)
    assert parse(host, BYHEART_API_KEY="k3y").api_keys == ("k3y",)


def test_a_file_holds_a_key_a_line_and_wins(tmp_path):
    file = tmp_path / "keys"
    file.write_text("one\n\n two \n")
    assert parse(file=file, BYHEART_API_KEY="three").api_keys == ("one", "two")


@pytest.mark.parametrize("content", ["", " \n", "two words\n", "schlüssel\n"])
def test_a_file_without_a_usable_key_is_refused_and_its_content_not_told(tmp_path, content):
    file = tmp_path / "keys"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(SettingsError, match="key") as told:
        parse(file=file)
    assert not content.strip() or content.strip() not in str(told.value)


def test_an_empty_variable_is_no_missing_key():
    with pytest.raises(SettingsError, match="BYHEART_API_KEY holds no key"):
        parse(BYHEART_API_KEY="")


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(SettingsError, match=r"cannot read .*nothing"):
        parse(file=tmp_path / "nothing")


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_that_cannot_be_is_refused(port):
    with pytest.raises(SettingsError, match=f"--port {port}: allowed are 1 to 65535"):
        parse(port=port)


def test_a_printed_address_shows_no_key():
    assert "s3cret" not in repr(parse(BYHEART_API_KEY="s3cret"))


def test_a_port_that_somebody_listens_on_is_taken():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ArtifactError, match=f"port {port}: .* choose another --port"):
            parse(port=port).refuse_taken()
    parse(port=port).refuse_taken()
