"""A small real proxy, as stands between a company's network and the internet."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

from .serving import serving


@dataclass
class Proxy:
    """Leads every CONNECT to `upstream`; other methods are refused with 403."""

    port: int
    upstream: int = 0
    answer: int = 200
    """Another one refuses; 0 hangs up."""
    connects: list[str] = field(default_factory=list)
    logins: list[str | None] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def running_proxy() -> Iterator[Proxy]:
    """A proxy on a free port of 127.0.0.1."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_CONNECT(self) -> None:
            proxy.connects.append(self.path)
            proxy.logins.append(self.headers.get("Proxy-Authorization"))
            self.close_connection = True
            if proxy.answer != 200:
                if proxy.answer:
                    self.send_error(proxy.answer)
                return
            with socket.create_connection(("127.0.0.1", proxy.upstream), timeout=30) as upstream:
                self.send_response_only(200)
                self.end_headers()
                back = threading.Thread(target=pass_on, args=(upstream, self.connection))
                back.start()
                pass_on(self.connection, upstream)
                back.join(30)

        def log_message(self, *args: object) -> None:
            """The tests look at `connects` instead."""

    with serving(Handler) as port:
        proxy = Proxy(port)
        yield proxy


def pass_on(source: socket.socket, target: socket.socket) -> None:
    """Until one side closes."""
    with contextlib.suppress(OSError):
        while received := source.recv(65_536):
            target.sendall(received)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
