"""What the server's parser refuses, the application never sees: it is counted and told of."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from .faults.raw import connect
from .live import LiveService, live_service

SECRET = "14155550187"

REFUSED = {
    "LimitRequestLine": (414, f"GET /plivo/status?To={SECRET}&x={'x' * 5000} HTTP/1.1\r\n\r\n"),
    "LimitRequestHeaders": (431, f"GET / HTTP/1.1\r\nX: {SECRET}{'x' * 9000}\r\n\r\n"),
    "InvalidRequestLine": (400, f"{SECRET}\r\n\r\n"),
    "InvalidHeaderName": (400, f"GET / HTTP/1.1\r\nX {SECRET}: x\r\n\r\n"),
    "UnsupportedTransferCoding": (
        *(501, f"POST / HTTP/1.1\r\nTransfer-Encoding: x{SECRET}\r\n\r\n"),
    ),
    "ExpectationFailed": (417, f"POST / HTTP/1.1\r\nExpect: {SECRET}\r\n\r\n"),
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveService]:
    with live_service(tmp_path_factory.mktemp("refused")) as service:
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
