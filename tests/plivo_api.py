"""A small HTTP server in the place of Plivo's API, for the real SDK to talk to."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from .serving import serving

AUTH_ID = "MATESTTESTTESTTEST00"


@dataclass
class Reply:
    """What the stand-in answers: a JSON value, or raw bytes as they are."""

    status: int = 200
    content: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    wait: threading.Event | None = None
    """Answer only once this is set: a Plivo that hangs."""
    hang_up_after: int | None = None
    """Close the connection after this many bytes of the content; -1: without answering at all."""

    def encoded(self) -> bytes:
        return (
            self.content if isinstance(self.content, bytes) else json.dumps(self.content).encode()
        )


@dataclass
class Asked:
    """A request that the stand-in got."""

    method: str
    path: str
    content: dict[str, Any]
    authorization: str


class PlivoApi:
    """Answers sends with 202 and reads with what `messages` holds; `reply` overrides both."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked: list[Asked] = []
        self.messages: dict[str, dict[str, Any]] = {}
        self.reply: Callable[[Asked], Reply | None] = lambda asked: None

    def answer(self, asked: Asked) -> Reply:
        self.asked.append(asked)
        return self.reply(asked) or self._usual(asked)

    def _usual(self, asked: Asked) -> Reply:
        if asked.method == "POST":
            message_uuid = str(uuid.uuid4())
            sent = {"message": "message(s) queued", "message_uuid": [message_uuid]}
            return Reply(202, {**sent, "api_id": str(uuid.uuid4())})
        last = asked.path.rstrip("/").rsplit("/", 1)[-1]
        if last == AUTH_ID:
            return Reply(200, {"auth_id": AUTH_ID, "cash_credits": "10.0"})
        if last in self.messages:
            return Reply(200, {"api_id": str(uuid.uuid4()), **self.messages[last]})
        return Reply(404, {"error": "not found"})


@contextmanager
def plivo_api(tls: ssl.SSLContext | None = None) -> Iterator[PlivoApi]:
    """A stand-in on a free port of 127.0.0.1."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle(self) -> None:
            with contextlib.suppress(ssl.SSLError, ConnectionError):  # who trusts us not
                super().handle()

        def _serve(self) -> None:
            with contextlib.suppress(ConnectionError):  # who waits no longer has hung up
                self._take_and_answer()

        def _take_and_answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            asked = Asked(
                self.command,
                self.path,
                json.loads(body) if body else {},
                self.headers.get("Authorization", ""),
            )
            reply = standin.answer(asked)
            if reply.wait is not None:
                reply.wait.wait(60)
            content = reply.encoded()
            if reply.hang_up_after is not None:
                self.close_connection = True
            if reply.hang_up_after == -1:
                return
            begin = self.send_response_only if "Date" in reply.headers else self.send_response
            begin(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: reply.hang_up_after])

        do_GET = do_POST = _serve  # noqa: N815 - http.server's names

        def log_message(self, *args: object) -> None:
            """The tests look at `asked` instead."""

    with serving(Handler, tls) as port:
        standin = PlivoApi(f"{'https' if tls else 'http'}://127.0.0.1:{port}")
        yield standin


class HangingPlivo:
    """Takes connections and says nothing: a listener that nobody serves.

    There is no thread that could be late, so `requests` knows all that clients have sent by now.
    """

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"

    def requests(self) -> list[bytes]:
        """What has come on each connection; its client has to have given up."""
        self._listener.setblocking(False)
        found = []
        with contextlib.suppress(BlockingIOError):
            while True:
                connection, _ = self._listener.accept()
                with connection:
                    found.append(connection.recv(65_536))
        return found


@contextmanager
def hanging_plivo() -> Iterator[HangingPlivo]:
    """A Plivo that hangs, on a free port of 127.0.0.1."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield HangingPlivo(listener)
