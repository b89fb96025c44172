"""Systems that changes are forwarded to: one that speaks HTTP, and odd ones."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(eq=False)
class Delivered:
    """A request as it came. `at` is a moment of time.monotonic()."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float
    was_taken: bool = True
    """Was it worked on? Whoever answers sets it to False if not."""


@dataclass
class Answer:
    """What a receiver answers."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"ok"


class Receiver:
    """Notes what is delivered, and answers 200 or whatever `answer` says.

    An `answer` of None hangs up without a word.
    """

    def __init__(self, port: int, scheme: str) -> None:
        self.port = port
        self.url = f"{scheme}://127.0.0.1:{port}/hooks/sms?tenant=1"
        self.delivered: list[Delivered] = []
        self.connections = 0
        self.answer: Callable[[Delivered], Answer | None] = lambda delivered: Answer()


@contextmanager
def receiver(tls: ssl.SSLContext | None = None, port: int = 0) -> Iterator[Receiver]:
    """One that listens on 127.0.0.1."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def handle(self) -> None:
            there.connections += 1
            with contextlib.suppress(ssl.SSLError, ConnectionError):
                super().handle()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            delivered = Delivered(self.path, headers, body, time.monotonic())
            answer = there.answer(delivered)
            there.delivered.append(delivered)
            if answer is None:
                self.close_connection = True
                return
            begin = self.send_response_only if "Date" in answer.headers else self.send_response
            begin(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *arguments: object) -> None:
            """The tests look at `delivered` instead."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, *arguments: object) -> None:
            """Who trusts us not, or waits no longer, has hung up."""

    server = Server(("127.0.0.1", port), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
    there = Receiver(server.server_port, "https" if tls else "http")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.002})
    thread.start()
    try:
        yield there
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


class Odd:
    """What an odd receiver got: the bytes of each connection."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/"
        self.got: list[bytes] = []
        self.is_over = threading.Event()


@contextmanager
def odd_receiver(act: Callable[[socket.socket, Odd], None]) -> Iterator[Odd]:
    """One that reads a request on each connection, and then does what `act` does.

    `act` ends soon once `is_over` is set; the connection is closed after it.
    """
    threads: list[threading.Thread] = []
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        odd = Odd(listener.getsockname()[1])

        def serve(connection: socket.socket) -> None:
            with connection, contextlib.suppress(OSError):
                connection.settimeout(30)
                odd.got.append(connection.recv(65_536))
                act(connection, odd)

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    thread = threading.Thread(target=serve, args=(listener.accept()[0],))
                    threads.append(thread)
                    thread.start()

        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield odd
        finally:
            odd.is_over.set()
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join(10)
            for thread in threads:
                thread.join(40)
