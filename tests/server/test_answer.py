"""An answer's bytes are gunicorn's own."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.http.errors import InvalidResponseHeader, InvalidResponseHeaderName
from gunicorn.http.wsgi import Response

from smsstatus.server.answer import Answer

PLAIN = ("Content-Type", "text/plain; charset=utf-8")
TWO = ("Content-Length", "2")
Headers = list[tuple[str, str]]


def sent(
    kind: type[Any],
    status: str,
    headers: Headers,
    method: str,
    version: tuple[int, int],
    close: bool,
) -> bytes:
    """What is sent where the application answers `ok`, all but the date."""
    data = bytearray()
    request = SimpleNamespace(method=method, version=version, should_close=lambda: close)
    answer = kind(request, SimpleNamespace(sendall=data.extend), Config())
    answer.start_response(status, headers)
    answer.write(b"ok")
    answer.close()
    assert re.search(rb"\r\nDate: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT\r\n", data)
    return re.sub(rb"(?<=\r\nDate: )[^\r]+", b"", data)


@pytest.mark.parametrize("close", [False, True])
@pytest.mark.parametrize("version", [(1, 0), (1, 1)])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize(
    ("status", "headers"),
    [
        ("200 OK", [PLAIN, TWO]),
        ("200 OK", [PLAIN, ("Content-Length", "0")]),
        ("200 OK", [PLAIN]),
        ("204 No Content", [PLAIN, TWO]),
        ("304 Not Modified", [("ETag", '"1"')]),
        ("404 Not Found", [("X-A", " spaces "), ("Connection", "close"), TWO]),
        ("500 Internal Server Error", []),
    ],
)
def test_the_bytes_of_an_answer_are_those_that_gunicorn_would_send(
    status: str, headers: Headers, method: str, version: tuple[int, int], close: bool
) -> None:
    ours, theirs = (
        sent(kind, status, headers, method, version, close) for kind in (Answer, Response)
    )
    assert ours == theirs


@pytest.mark.parametrize(
    ("header", "error"),
    [
        (("X A", "b"), InvalidResponseHeaderName),
        (("X-A", "b\r\nX-B: c"), InvalidResponseHeader),
        (("X-A", 1), TypeError),
    ],
)
def test_no_application_can_split_an_answer(header: Any, error: type[Exception]) -> None:
    for _ in range(2):
        with pytest.raises(error):
            sent(Answer, "200 OK", [header], "GET", (1, 1), False)
