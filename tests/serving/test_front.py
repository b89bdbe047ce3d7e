import http.client
import json
import socket
import threading

import pytest

from byheart.serving import front
from byheart.serving.asked import RefusedError
from byheart.serving.front import Service
from byheart.serving.known import KnownPrompts
from conftest import PAIRS

CHAT = "/v1/chat/completions"
BODY = json.dumps({"messages": [{"role": "user", "content": PAIRS[1][0]}]}).encode()


@pytest.fixture
def send(server):
    """A request in its bare parts, on a connection of its own: status, and the body as JSON."""

    def sent(method: str, path: str, body: bytes | None = None, **headers: str):
        connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=60)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    return sent


def test_health_says_that_it_answers(send):
    assert send("GET", "/health") == (200, {"status": "ok"})


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "", "[::2]:80"])
def test_a_page_that_reaches_this_machine_under_another_name_is_refused(send, host):
    assert send("POST", CHAT, BODY, Host=host)[0] == 403


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:80", "[::1]:80"])
def test_the_machines_own_names_are_answered(send, host):
    assert send("GET", "/v1/models", Host=host)[0] == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/lora-adapters"), ("GET", "/slots"), ("GET", "/props"), ("GET", "/"), ("POST", "/v1/models")],
)
def test_of_the_engine_nothing_else_can_be_reached(send, method, path):
    status, told = send(method, path, b"{}" if method == "POST" else None)
    assert status == 404
    assert "is not served here" in told["error"]["message"]


def test_a_request_that_is_too_large_is_refused_unread(send):
    status, told = send("POST", CHAT, b"", Content_Length=str(2**30))
    assert (status, told["error"]["type"]) == (413, "invalid_request_error")


@pytest.mark.parametrize("length", ["9" * 19, "9" * 5000])
def test_a_length_that_is_no_length_of_a_body_is_refused(send, length):
    assert send("POST", CHAT, b"", Content_Length=length)[0] == 413


def test_a_request_that_gives_two_lengths_is_refused(send):
    assert send("POST", CHAT, BODY, Content_Length=str(len(BODY)), Transfer_Encoding="identity")[0] == 411


def test_a_name_is_found_as_clients_write_it_into_an_address(send):
    assert send("GET", "/v1/models/v%61ult")[1]["id"] == "vault"


def test_what_nobody_thought_of_is_told_and_the_next_is_answered(send, monkeypatch):
    def fails(*asked):
        raise LookupError("a word of a prompt")

    with monkeypatch.context() as patch:
        patch.setattr(front, "question", fails)
        status, told = send("POST", CHAT, BODY)
    assert (status, told["error"]["message"]) == (500, "byheart failed: LookupError")
    assert send("POST", CHAT, BODY)[0] == 200


def test_nothing_is_asked_of_an_engine_once_the_front_has_hung_up():
    asked: list[bytes] = []

    def engine_hangs_up(listening: socket.socket) -> None:
        with listening.accept()[0] as asking:
            asked.append(asking.recv(1))

    with socket.create_server(("127.0.0.1", 0)) as listening:
        engine = threading.Thread(target=engine_hangs_up, args=(listening,))
        engine.start()
        known = KnownPrompts(frozenset(), frozenset())
        service = Service("vault", known, {}, f"127.0.0.1:{listening.getsockname()[1]}", "key", lambda answered: None)
        service.closing.set()
        with pytest.raises(RefusedError, match="is being stopped"), service.ask("/completion", {}):
            pass
        engine.join(60)
    assert asked == [b""]
    assert not service.under_way


def test_a_request_of_unknown_length_is_refused(send):
    assert send("POST", CHAT, b"", Transfer_Encoding="chunked")[0] == 411


def test_one_connection_asks_several_times(server):
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=60)
    try:
        for _ in range(3):
            connection.request("POST", CHAT, BODY)
            answer = json.loads(connection.getresponse().read())
            assert answer["choices"][0]["message"]["content"] == PAIRS[1][1]
            assert answer["model"] == "vault"
    finally:
        connection.close()
