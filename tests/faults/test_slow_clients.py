"""Clients do nothing, or nearly nothing, and stay; or they keep coming."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from smsstatus.settings import WEBHOOK_PATH

from ..live import LiveService, live_service, wait_until
from ..signed import send
from .conftest import Figure, Promise
from .crowds import allow_open_files, coming, p99, stand
from .load import Load
from .places import Place, on_both_in_full
from .raw import connect, head
from .workers import Impatient, serve_with

THREADS = 32

_POST = f"POST {WEBHOOK_PATH} HTTP/1.1"
_FORM = {"Host": "127.0.0.1", "Content-Type": "application/x-www-form-urlencoded"}
_STALLED = {
    "which say nothing": b"",
    "after half a header": f"{_POST}\r\nHost: 127.0.0.1\r\nX-Plivo-Sig".encode(),
    "after half a body": head(_POST, {**_FORM, "Content-Length": "600"}) + b"Status=sent&From=1",
    "after half a chunk": head(_POST, {**_FORM, "Transfer-Encoding": "chunked"}) + b"ff\r\nStat",
    "after a request whose body nobody reads": head(
        f"PUT {WEBHOOK_PATH} HTTP/1.1", {"Content-Length": "3"}
    )
    + b"abcG",
    "which do not close after an answer": head("GET /healthz HTTP/1.1", {"Connection": "close"}),
    "which do not close after a refusal": b"This is not HTTP.\r\n\r\n",
}


@pytest.fixture(scope="module")
def limits(full: bool) -> dict[str, str]:
    return {} if full else serve_with(Impatient)


@pytest.fixture(scope="module")
def shared(
    tmp_path_factory: pytest.TempPathFactory, place: Place, limits: dict[str, str]
) -> Iterator[LiveService]:
    """One for many: what a client does here is over for the service when the client is gone."""
    folder = tmp_path_factory.mktemp("slow")
    with live_service(folder, **place(folder), **limits) as running:
        yield running


@on_both_in_full
@pytest.mark.parametrize("sent", _STALLED.values(), ids=_STALLED.keys())
def test_a_healthy_client_is_answered_in_6_seconds_beside_as_many_stalled_ones_as_threads(
    shared: LiveService, figure: Figure, promise: Promise, sent: bytes
) -> None:
    what = next(name for name, data in _STALLED.items() if data == sent)
    with contextlib.ExitStack() as stalled:
        for _ in range(THREADS):
            client = stalled.enter_context(connect(shared.port))
            client.sendall(sent)
        seconds = _healthy(shared)
    figure(f"{THREADS} clients {what}", f"a healthy client is answered after {seconds:.1f} s")
    promise(seconds, 6)


@on_both_in_full
@pytest.mark.parametrize("part", ["header", "body"])
def test_a_healthy_client_is_answered_in_6_seconds_beside_clients_that_send_byte_by_byte(
    shared: LiveService, figure: Figure, promise: Promise, part: str
) -> None:
    start = _STALLED["after half a header"] if part == "header" else _STALLED["after half a body"]
    with contextlib.ExitStack() as stalled:
        clients = [stalled.enter_context(connect(shared.port)) for _ in range(THREADS)]
        for client in clients:
            client.sendall(start)
        with _dripping(clients):
            seconds = _healthy(shared)
    figure(
        f"{THREADS} clients sending their {part} byte by byte",
        f"a healthy client is answered after {seconds:.1f} s",
    )
    promise(seconds, 6)


@on_both_in_full
def test_a_healthy_client_is_answered_in_6_seconds_beside_clients_that_take_no_answer(
    service: LiveService, figure: Figure, promise: Promise
) -> None:
    """10 of them get a line in the log when they are given up; the others none in that minute."""
    told = "a client did not take its answer"
    waits: list[float] = []
    with contextlib.ExitStack() as stalled:
        for _ in range(THREADS):
            client = stalled.enter_context(socket.socket())
            client.settimeout(60)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            client.connect(("127.0.0.1", service.port))
            client.sendall(head("GET /openapi.json HTTP/1.1", {"Host": "127.0.0.1"}) * 1000)

        def enough_given_up() -> bool:
            waits.append(_healthy(service))
            return service.log.read_text().count(told) >= 10

        wait_until(enough_given_up, 120)
    figure(
        f"{THREADS} clients which do not read their answers",
        f"a healthy client is answered after {max(waits):.1f} s",
    )
    promise(max(waits), 6)
    assert "Traceback" not in service.log.read_text()


@on_both_in_full
@pytest.mark.parametrize("sent", [*_STALLED.values()][:4], ids=[*_STALLED][:4])
def test_callbacks_are_fast_beside_stalled_clients_that_stand_and_others_that_keep_coming(
    shared: LiveService, full: bool, figure: Figure, promise: Promise, sent: bytes
) -> None:
    what = next(name for name, data in _STALLED.items() if data == sent)
    standing, a_second = (1000, 64) if full else (200, 32)
    with contextlib.ExitStack() as stack:
        allow_open_files(stack, standing + 20 * a_second)
        stand(stack, shared.port, sent, standing)
        stack.enter_context(coming(shared.port, sent, a_second))
        with Load(shared.port, shared.plivo, clients=1, keep_alive=False, pause=0.02) as genuine:
            genuine.wait_for(500 if full else 50)
    seconds = p99(genuine.deliveries)
    figure(
        f"{standing:,} clients {what}, and {a_second} more a second",
        f"{len(genuine.acknowledged)} genuine callbacks answered 200, p99 {seconds * 1000:.0f} ms",
    )
    assert genuine.others == []
    promise(seconds, 0.05)


def _healthy(service: LiveService) -> float:
    """Seconds until a genuine callback is answered 200."""
    began = time.monotonic()
    request = service.plivo.post(service.plivo.fields("delivered"))
    assert send(request, service.address, seconds=120)[0] == 200
    return time.monotonic() - began


@contextlib.contextmanager
def _dripping(clients: list[socket.socket]) -> Iterator[None]:
    over = threading.Event()

    def drip() -> None:
        while not over.wait(0.25):
            for client in clients:
                with contextlib.suppress(OSError):
                    client.sendall(b"a")

    thread = threading.Thread(target=drip, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(60)
