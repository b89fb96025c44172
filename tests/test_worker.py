"""What the project's gunicorn worker does for kept connections, and between its threads."""

from __future__ import annotations

import contextlib
import json
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from smsstatus.scheduling import wait_for_a_turn
from smsstatus.worker import STAY_SECONDS

from .faults.raw import connect, read_reply, wire
from .live import LiveService, live_service, wait_until

THREADS = 32


@pytest.fixture
def service(tmp_path: Path) -> Iterator[LiveService]:
    with live_service(tmp_path) as running:
        yield running


WATCHED = b"GET /watched HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[LiveService]:
    """The service with a route that tells what tests/watched.py saw of its worker."""
    running = LiveService(tmp_path)
    running.application = "tests.watched:app"
    try:
        yield running.start()
    finally:
        running.kill()


def ask_watched(service: LiveService, times: int) -> dict[str, Any]:
    """Ask on one connection, again and again; the last answer."""
    with connect(service.port) as client:
        for _ in range(times):
            client.sendall(WATCHED)
            answer = read_reply(client)
    found: dict[str, Any] = json.loads(answer.body)
    return found


def worker_of(service: LiveService) -> int:
    assert service.process is not None
    master = service.process.pid
    (worker,) = Path(f"/proc/{master}/task/{master}/children").read_text().split()
    return int(worker)


def callback(service: LiveService) -> bytes:
    return wire(service.plivo.post(service.plivo.fields("sent")))


@pytest.mark.parametrize("pause", [0, STAY_SECONDS / 2, STAY_SECONDS * 10])
def test_a_kept_connection_is_served_again_whenever_its_next_request_comes(
    service: LiveService, pause: float
) -> None:
    with connect(service.port) as client:
        for _ in range(5):
            client.sendall(callback(service))
            assert read_reply(client) == (200, b"", False)
            threading.Event().wait(pause)


@pytest.mark.parametrize(
    "unread",
    [
        b"Content-Length: 5\r\n\r\nhello",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ],
    ids=["with a length", "in chunks"],
)
def test_a_body_that_nobody_read_is_not_taken_for_the_next_request(
    service: LiveService, unread: bytes
) -> None:
    with connect(service.port) as client:
        for _ in range(3):
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + unread)
            assert read_reply(client).status == 200
            client.sendall(callback(service))
            assert read_reply(client).status == 200


def test_more_kept_connections_than_threads_are_all_served(service: LiveService) -> None:
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(service.port)) for _ in range(3 * THREADS)]
        for _ in range(3):
            for client in clients:
                client.sendall(callback(service))
            assert [read_reply(client).status for client in clients] == [200] * len(clients)


def test_as_many_busy_connections_as_threads_leave_room_for_one_more(service: LiveService) -> None:
    over = threading.Event()
    answers: list[int] = []

    def keep_busy() -> None:
        with connect(service.port) as client:
            while not over.is_set():
                client.sendall(callback(service))
                answers.append(read_reply(client).status)

    busy = [threading.Thread(target=keep_busy) for _ in range(THREADS)]
    for thread in busy:
        thread.start()
    try:
        for _ in range(5):
            with connect(service.port, seconds=5) as client:
                client.sendall(callback(service))
                assert read_reply(client).status == 200
    finally:
        over.set()
        for thread in busy:
            thread.join(10)
    assert set(answers) == {200}


def test_a_woken_thread_does_not_interrupt_the_one_that_holds_the_interpreter(
    service: LiveService,
) -> None:
    with connect(service.port) as client:
        client.sendall(callback(service))
        assert read_reply(client).status == 200
    worker = worker_of(service)
    threads = [int(name) for name in os.listdir(f"/proc/{worker}/task")]
    assert len(threads) > 2  # the main loop, one that serves, the store's writer
    policies = [os.sched_getscheduler(thread) for thread in threads]
    assert policies.count(os.SCHED_BATCH) >= 2  # one that serves, and the writer
    assert policies.count(os.SCHED_OTHER) == 2  # the main loop, and what replays the spool
    assert os.sched_getscheduler(worker) == os.SCHED_OTHER


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may choose that policy")
def test_a_policy_that_somebody_chose_stays() -> None:
    policies = []

    def run() -> None:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
        wait_for_a_turn()
        policies.append(os.sched_getscheduler(0))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(10)
    assert policies == [os.SCHED_RR]


def test_settings_read_for_each_request_are_plain_attributes(watched: LiveService) -> None:
    assert ask_watched(watched, 1)["plain"] == ["access_log_format", "keepalive", "workers"]


def test_a_next_request_that_comes_at_once_does_not_pass_the_main_loop(
    watched: LiveService,
) -> None:
    before = ask_watched(watched, 1)["enqueued"]
    assert (
        ask_watched(watched, 50)["enqueued"] < before + 25
    )  # some may come late on a busy machine


def test_requests_that_came_together_are_answered_in_turn_without_passing_it(
    watched: LiveService,
) -> None:
    before = ask_watched(watched, 1)["enqueued"]
    last = WATCHED.replace(b"Host: x", b"Host: x\r\nConnection: close")
    answers = b""
    with connect(watched.port) as client:
        client.sendall(WATCHED * 20 + last)
        while received := client.recv(65_536):
            answers += received
    assert answers.count(b"HTTP/1.1 200 OK") == 21
    enqueued = {int(count) for count in re.findall(rb'"enqueued":(\d+)', answers)}
    assert max(enqueued) <= before + 2  # this connection, and the end of the one before


def test_a_worker_whose_master_is_gone_ends_also_beside_a_busy_client(service: LiveService) -> None:
    assert service.process is not None
    worker = worker_of(service)
    with connect(service.port) as client, contextlib.suppress(ConnectionError):
        client.sendall(callback(service))
        read_reply(client)
        service.process.kill()
        closing = False
        while not closing:
            client.sendall(callback(service))
            closing = read_reply(client).closing
    service.process.wait(10)
    wait_until(lambda: not Path(f"/proc/{worker}").exists(), 10, "the worker ends")
