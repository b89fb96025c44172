"""HTTP by hand over a socket of this machine, for requests no HTTP client would send."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Iterator
from typing import NamedTuple

from ..signed import Request


class Reply(NamedTuple):
    """One HTTP answer. `closing`: the server said that it will close the connection."""

    status: int
    body: bytes
    closing: bool


def connect(port: int, seconds: float = 60.0) -> socket.socket:
    """A TCP connection to 127.0.0.1 on which every wait ends after `seconds`."""
    connection = socket.create_connection(("127.0.0.1", port), seconds)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def is_readable(connection: socket.socket, seconds: float = 0.0) -> bool:
    """Has something come on it, or its end, or does it within that time?"""
    poll = select.poll()  # select() refuses descriptors from 1,024 on
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def wire(request: Request, *, keep_alive: bool = True) -> bytes:
    """The bytes of a request."""
    headers = {
        "Host": "127.0.0.1",
        **request.headers,
        "Content-Length": str(len(request.body)),
        "Connection": "keep-alive" if keep_alive else "close",
    }
    return head(f"{request.method} {request.target} HTTP/1.1", headers) + request.body


def head(request_line: str, headers: dict[str, str]) -> bytes:
    """A request line and headers, with the empty line behind them."""
    lines = [request_line, *(f"{name}: {value}" for name, value in headers.items())]
    return "".join([f"{line}\r\n" for line in [*lines, ""]]).encode("latin-1")


def chunked(body: bytes, size: int = 4096) -> bytes:
    """A body in chunks of `size`, with the last one."""
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join([b"%x\r\n%s\r\n" % (len(part), part) for part in parts]) + b"0\r\n\r\n"


def read_reply(connection: socket.socket) -> Reply:
    """Read one whole answer, leaving out 100 Continue.

    Raises ConnectionError if the connection ends before, TimeoutError if it takes too long.
    """
    buffer = b""
    while True:
        while b"\r\n\r\n" not in buffer:
            buffer += _receive(connection)
        text, _, buffer = buffer.partition(b"\r\n\r\n")
        status = int(text[9:12])
        if status != 100:
            break
    headers = dict(
        line.lower().split(b": ", 1) for line in text.split(b"\r\n")[1:] if b": " in line
    )
    closing = headers.get(b"connection") == b"close"
    length = int(headers.get(b"content-length", b"0"))
    while len(buffer) < length:
        buffer += _receive(connection)
    return Reply(status, buffer, closing)


def exchange(
    port: int, data: bytes, *, half_close: bool = False, seconds: float = 60.0
) -> Reply | None:
    """Send bytes on a connection of their own; the answer, or None if there was none.

    The sending goes on beside the reading, since a server may answer before it has read all.
    """
    with connect(port, seconds) as connection, _sending(connection, data, half_close):
        try:
            return read_reply(connection)
        except ConnectionError:
            return None


@contextlib.contextmanager
def _sending(connection: socket.socket, data: bytes, half_close: bool) -> Iterator[None]:
    def send() -> None:
        with contextlib.suppress(OSError):
            connection.sendall(data)
            if half_close:
                connection.shutdown(socket.SHUT_WR)

    if len(data) < 65_536:
        send()
        yield
        return
    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        sender.join(60)


def _receive(connection: socket.socket) -> bytes:
    data = connection.recv(65_536)
    if not data:
        raise ConnectionResetError("the server closed the connection before its answer ended")
    return data
