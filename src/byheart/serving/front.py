"""The HTTP side of a server: who may ask, and what; answers are passed on from llama.cpp as they are written.

The engine's own server listens to this machine alone, with a key drawn for it, so that nobody turns the adapter off or
reads along there. What this side does not name is answered 404.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import json
import os
import secrets
import socket
import socketserver
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any, cast

from byheart.serving.address import Address
from byheart.serving.asked import CHAT, COMPLETIONS, RefusedError, question
from byheart.serving.known import KnownPrompts

_MOST_CONTENT_BYTES = 16 * 2**20
_MOST_DIGITS = 18  # of a length; Python makes no number of thousands of them
_IDLE_SECONDS = 120
_ANSWER_SECONDS = 3600
_CHUNK_BYTES = 65536


@dataclass(frozen=True, slots=True)
class Answered:
    """A request that was answered, without a word of what it was about.

    Attributes:
        path: that was asked.
        status: of HTTP.
        seconds: it took.
        is_known: whether the bundle holds the prompt; None: not a prompt, or refused.
    """

    path: str
    status: int
    seconds: float
    is_known: bool | None


@dataclass(frozen=True, slots=True)
class Service:
    """What stands behind the front.

    Attributes:
        name: of the model.
        known: prompts.
        template_kwargs: of the bundle.
        engine: host and port of the engine's server.
        engine_key: it asks for.
        on_answer: told of every request; called from the thread that answers it.
        under_way: sockets to the engine on which it is answering.
        closing: set once nothing more is asked of it.
    """

    name: str
    known: KnownPrompts
    template_kwargs: Mapping[str, Any]
    engine: str
    engine_key: str
    on_answer: Callable[[Answered], None]
    under_way: set[socket.socket] = field(default_factory=set)
    closing: threading.Event = field(default_factory=threading.Event)

    @contextlib.contextmanager
    def ask(self, path: str, body: Mapping[str, Any]) -> Iterator[http.client.HTTPResponse]:
        """The engine's answer, not yet read; what is left of it when the block ends is not written any more.

        Raises:
            RefusedError: the engine has gone.
        """
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.engine_key}"}
        with contextlib.ExitStack() as stack:
            connection = http.client.HTTPConnection(self.engine, timeout=_ANSWER_SECONDS)
            stack.callback(connection.close)
            try:
                connection.connect()
                answering: socket.socket = connection.sock
                self.under_way.add(answering)
                stack.callback(self.under_way.discard, answering)
                if self.closing.is_set():  # looked at once the socket is known, so that one of the two ends it
                    raise ConnectionAbortedError
                connection.request("POST", path, json.dumps(body).encode(), headers)
                response = connection.getresponse()
            except (OSError, http.client.HTTPException) as error:
                raise RefusedError(
                    503, "the engine does not answer; it is being stopped", "unavailable_error"
                ) from error
            yield response

    def look(self, path: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """A short answer of the engine's, whole.

        Raises:
            RefusedError: with the engine's status and reason.
        """
        with self.ask(path, body) as response:
            values = json.loads(response.read())
        if response.status != http.HTTPStatus.OK:
            error = values.get("error", {})
            raise RefusedError(
                response.status, error.get("message", "refused"), error.get("type", "invalid_request_error")
            )
        return values


class Front(socketserver.ThreadingTCPServer):
    """Bound to its address when it is made, listening once `server_activate` is called."""

    allow_reuse_address = os.name != "nt"
    request_queue_size = 128

    def __init__(self, address: Address, service: Service) -> None:
        self.address, self.service = address, service
        self.address_family = address.family
        self.started = int(time.time())
        self._open: set[socket.socket] = set()
        super().__init__((address.host, address.port), Handler, bind_and_activate=False)
        try:
            self.server_bind()
        except OSError as error:
            self.server_close()
            raise address.cannot_listen(error) from error

    @property
    def url(self) -> str:
        """What a client's ``base_url`` begins with."""
        host, port = self.socket.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remembers the connection, then answers it in a thread."""
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forgets the connection, and closes it."""
        self._open.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """Ends every connection, so that no thread waits for a client or for the engine, and lets none begin anew."""
        self.service.closing.set()
        for request in [*self._open, *self.service.under_way]:
            try:
                request.shutdown(socket.SHUT_RDWR)
            except OSError:  # it has ended by itself
                continue

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is nobody's error; the next one is answered."""


class Handler(BaseHTTPRequestHandler):
    """One connection; requests on it one after the other."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "byheart", ""
    timeout = _IDLE_SECONDS
    disable_nagle_algorithm = True

    @property
    def front(self) -> Front:
        """The server that took the connection."""
        return cast(Front, self.server)

    def do_GET(self) -> None:
        """Health, and the one model."""
        self._answer(self._get)

    def do_POST(self) -> None:
        """Completions."""
        self._answer(self._post)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: `Service.on_answer` is told what may be told."""

    def _answer(self, work: Callable[[str], tuple[int, bool | None]]) -> None:
        began, path, is_known = time.monotonic(), self.path.partition("?")[0], None
        try:
            if path != "/health":
                self._refuse_stranger()
            status, is_known = work(path)
        except RefusedError as refused:
            status = refused.status
            self.close_connection = True  # its body may be unread
            self._send(status, refused.body())
        except (OSError, http.client.HTTPException):  # the client, or the engine, went away amid the answer
            status, self.close_connection = 499, True
        except Exception as error:  # what nobody thought of is told to who asked, and shows in the log as a status
            status, self.close_connection = 500, True
            self._send(status, RefusedError(status, f"byheart failed: {type(error).__name__}", "server_error").body())
        self.front.service.on_answer(Answered(path[:80], status, time.monotonic() - began, is_known))

    def _refuse_stranger(self) -> None:
        keys = self.front.address.api_keys
        if not keys:
            # A page in a browser reaches this machine under a name of its own; only its own names are answered.
            if not _is_this_machine(self.headers.get("Host", "")):
                raise RefusedError(403, "ask at 127.0.0.1 or localhost, or start the server with an API key")
            return
        kind, _, shown = self.headers.get("Authorization", "").partition(" ")
        offered = shown.strip().encode("utf-8", "surrogateescape")
        matches = [secrets.compare_digest(offered, key.encode()) for key in keys]
        if kind.lower() != "bearer" or not any(matches):
            raise RefusedError(
                401, "wrong or missing API key; send it as Authorization: Bearer KEY", "authentication_error"
            )

    def _get(self, path: str) -> tuple[int, None]:
        service = self.front.service
        model = {"id": service.name, "object": "model", "created": self.front.started, "owned_by": "byheart"}
        if path == "/health":
            self._send(200, b'{"status":"ok"}')
        elif path == "/v1/models":
            self._send(200, json.dumps({"object": "list", "data": [model]}).encode())
        elif path.startswith("/v1/models/"):
            if urllib.parse.unquote(path.removeprefix("/v1/models/")) != service.name:
                raise RefusedError(404, f"no such model; there is {service.name!r}", "not_found_error")
            self._send(200, json.dumps(model).encode())
        else:
            raise _not_here(path, "GET")
        return 200, None

    def _post(self, path: str) -> tuple[int, bool]:
        if path not in (CHAT, COMPLETIONS):
            raise _not_here(path, "POST")
        service, content = self.front.service, self._content()
        asked = question(path, content, service.name, service.known, service.template_kwargs, service.look)
        with service.ask(path, asked.body) as response:
            if response.status == http.HTTPStatus.OK and asked.is_streamed:
                self._stream(response)
            else:
                self._send(response.status, response.read())
        return response.status, asked.is_known

    def _content(self) -> bytes:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or "Transfer-Encoding" in self.headers:
            raise RefusedError(411, "the request needs a Content-Length, and no Transfer-Encoding")
        if len(length) > _MOST_DIGITS or int(length) > _MOST_CONTENT_BYTES:
            raise RefusedError(413, f"the request's body is too large; allowed are {_MOST_CONTENT_BYTES:,} bytes")
        return self.rfile.read(int(length))

    def _send(self, status: int, body: bytes) -> None:
        try:
            self.send_response(status)
            self.send_header("Content-Type", "application/json; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            if self.close_connection:
                self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(body)
        except OSError:  # nobody is there to read it
            self.close_connection = True

    def _stream(self, response: http.client.HTTPResponse) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while piece := response.read1(_CHUNK_BYTES):
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")


def _not_here(path: str, method: str) -> RefusedError:
    return RefusedError(404, f"{method} {path[:80]} is not served here; there are {CHAT}, {COMPLETIONS} and /v1/models")


def _is_this_machine(host: str) -> bool:
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
    if name.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False
