"""gunicorn's answer to one request, with what is alike in many of them made once."""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import lru_cache

from gunicorn.http import wsgi
from gunicorn.util import http_date

_ALIKE = 64  # heads that are remembered, and lists of headers

_Headers = tuple[tuple[str, str], ...]


class Answer(wsgi.Response):  # type: ignore[misc]
    """Nearly all heads of a second are one of two or three."""

    headers_sent: bool

    def process_headers(self, headers: Iterable[tuple[str, str]]) -> None:
        self.headers, self.response_length = _checked(tuple(headers))

    def send_headers(self) -> None:
        if not self.headers_sent:
            head = _head(
                self.req.version,
                self.status,
                int(time.time()),
                tuple(self.headers),
                must_close=self.should_close(),
                is_chunked=self.chunked,
            )
            self.sock.sendall(head)
            self.headers_sent = True


@lru_cache(_ALIKE)
def _checked(headers: _Headers) -> tuple[_Headers, int | None]:
    """Those that an application may send, and the length they say. Raises what gunicorn does."""
    answer = wsgi.Response(None, None, None)
    answer.process_headers(headers)
    return tuple(answer.headers), answer.response_length


@lru_cache(_ALIKE)
def _head(
    version: tuple[int, int],
    status: str,
    second: int,
    headers: _Headers,
    *,
    must_close: bool,
    is_chunked: bool,
) -> bytes:
    lines = [
        f"HTTP/{version[0]}.{version[1]} {status}",
        f"Server: {wsgi.SERVER}",
        f"Date: {http_date(second)}",
        f"Connection: {'close' if must_close else 'keep-alive'}",
        *(["Transfer-Encoding: chunked"] if is_chunked else []),
        *(f"{name}: {value}" for name, value in headers),
    ]
    return "".join([f"{line}\r\n" for line in [*lines, ""]]).encode("latin-1")
