"""What the server's parser refuses, the application never sees: it is counted and reported."""

from __future__ import annotations

import logging
import re
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from gunicorn.config import Config
from gunicorn.http.errors import ParseException
from gunicorn.workers.base import Worker

from smsstatus import logs

from ..faults.raw import connect
from ..live import LiveService, live_service

SECRET = "14155550187"

REFUSED = {
    "LimitRequestLine": (414, f"GET /plivo/status?To={SECRET}&x={'x' * 5000} HTTP/1.1\r\n\r\n"),
    "LimitRequestHeaders": (431, f"GET / HTTP/1.1\r\nX: {SECRET}{'x' * 9000}\r\n\r\n"),
    "InvalidRequestLine": (400, f"{SECRET}\r\n\r\n"),
    "InvalidHeaderName": (400, f"GET / HTTP/1.1\r\nX {SECRET}: x\r\n\r\n"),
    "UnsupportedTransferCoding": (
        501,
        f"POST / HTTP/1.1\r\nTransfer-Encoding: x{SECRET}\r\n\r\n",
    ),
    "ExpectationFailed": (417, f"POST / HTTP/1.1\r\nExpect: {SECRET}\r\n\r\n"),
}


@pytest.fixture(scope="module", params=["", "-k gthread", "-k sync --threads 1"])
def service(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiveService]:
    folder = tmp_path_factory.mktemp("refused")
    with live_service(folder, GUNICORN_CMD_ARGS=request.param) as service:
        yield service


def answer(service: LiveService, request: str) -> bytes:
    with connect(service.port) as client:
        client.sendall(request.encode())
        return client.recv(12)


def counted(service: LiveService, status: int, reason: str) -> int:
    metrics = service.get("/metrics")[1].decode()
    labels = rf'answer="{status}",reason="{reason}"'
    found = re.search(rf"^smsstatus_refused_requests_total{{{labels}}} (\d+)$", metrics, re.M)
    return int(found[1]) if found else 0


@pytest.mark.parametrize("reason", REFUSED)
def test_a_request_that_the_parser_refuses_is_counted_with_its_answer_and_class(
    service: LiveService, reason: str
) -> None:
    status, request = REFUSED[reason]
    before = counted(service, status, reason)
    assert answer(service, request) == f"HTTP/1.1 {status}".encode()
    assert counted(service, status, reason) == before + 1


def test_the_log_tells_the_class_in_few_lines_and_nothing_of_the_request(
    service: LiveService,
) -> None:
    for _ in range(4):
        for status, request in REFUSED.values():
            assert answer(service, request) == f"HTTP/1.1 {status}".encode()
    lines = service.log.read_text().splitlines()
    told = [line for line in lines if "before the application saw it" in line]
    assert 10 <= len(told) <= 20  # the second ten if a minute ended meanwhile
    for line in told:
        assert re.search(r"refused with \d{3} before the application saw it: [A-Za-z0-9]+, ", line)
    assert SECRET not in service.log.read_text()
    assert "Invalid request" not in service.log.read_text()


def test_what_is_refused_is_counted_also_where_its_line_is_not_logged(tmp_path: Path) -> None:
    status, request = REFUSED["InvalidHeaderName"]
    another_port = "http://127.0.0.1:1"  # of which gunicorn's log would warn
    with live_service(tmp_path, LOG_LEVEL="error", BASE_URL=another_port) as service:
        assert answer(service, request) == f"HTTP/1.1 {status}".encode()
        assert counted(service, status, "InvalidHeaderName") == 1
        assert service.log.read_text() == ""


def test_of_half_a_request_the_log_shows_nothing_at_debug_level(tmp_path: Path) -> None:
    with live_service(tmp_path, LOG_LEVEL="debug") as service:
        with connect(service.port) as client:
            client.sendall(f"GET /plivo/status?To={SECRET}".encode())
            client.shutdown(socket.SHUT_WR)
            assert client.recv(1) == b""
        log = service.log.read_text()
    assert "Ignored premature client disconnection" in log
    assert SECRET not in log


def kinds(of: type[Exception]) -> Iterator[type[Exception]]:
    for kind in of.__subclasses__():
        yield kind
        yield from kinds(kind)


NOT_THE_CLIENTS_FAULT = {
    "InvalidResponseHeader",
    "InvalidResponseHeaderName",
    "InvalidProxyHeader",  # gunicorn answers it like an error of its own
}


@pytest.mark.parametrize("kind", [*kinds(ParseException), ssl.SSLError])
def test_each_fault_that_gunicorn_finds_in_a_request_is_counted_with_the_answer_it_gives(
    kind: type[Exception],
) -> None:
    counts: list[tuple[int, str]] = []
    logs.keep_requests_out(lambda answer, reason: counts.append((answer, reason)))
    worker = SimpleNamespace(cfg=Config(), log=logging.getLogger("gunicorn.error"))
    plain = {"__init__": lambda self: None, "__str__": lambda self: SECRET}
    fault = type(kind.__name__, (kind,), plain)()  # the same to gunicorn, whatever it is made of
    ours, client = socket.socketpair()
    with ours, client:
        try:
            raise fault
        except kind as error:
            Worker.handle_error(worker, None, ours, ("127.0.0.1", 1), error)
        status = int(client.recv(100).split()[1])
    refused = kind.__name__ not in NOT_THE_CLIENTS_FAULT
    assert counts == ([(status, kind.__name__)] if refused else [])
