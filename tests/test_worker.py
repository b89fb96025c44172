"""What the project's gunicorn worker does for kept connections, and between its threads."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from smsstatus.locking import FileLock
from smsstatus.scheduling import wait_for_a_turn
from smsstatus.server.worker import STAY_SECONDS

from .faults.raw import connect, read_reply, wire
from .live import LiveService, live_service

THREADS = 32


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveService]:
    with live_service(tmp_path_factory.mktemp("worker")) as running:
        yield running


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[LiveService]:
    """The service with the routes of tests/watched.py, whose main loop may stand still."""
    running = LiveService(
        tmp_path, WATCHED_LIFE=str(tmp_path / "life"), GUNICORN_CMD_ARGS="--timeout 0"
    )
    running.application = "tests.watched:app"
    try:
        yield running.start()
    finally:
        running.kill()


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


def ask(client: socket.socket, path: str) -> bytes:
    client.sendall(get(path))
    return read_reply(client).body


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


def test_as_many_busy_connections_as_threads_leave_room_for_one_more(watched: LiveService) -> None:
    """Each thread would stay with its client for as long as that one sends."""
    all_busy, over = threading.Barrier(THREADS + 1), threading.Event()

    def keep_busy() -> set[int]:
        with connect(watched.port, 60) as client:
            client.sendall(callback(watched))
            answers = {read_reply(client).status}
            all_busy.wait(60)
            while not over.is_set():
                client.sendall(callback(watched))
                answers.add(read_reply(client).status)
        return answers

    with ThreadPoolExecutor(THREADS) as executor:
        busy = [executor.submit(keep_busy) for _ in range(THREADS)]
        try:
            all_busy.wait(60)
            for _ in range(5):
                with connect(watched.port, 30) as client:
                    client.sendall(callback(watched))
                    assert read_reply(client).status == 200
        finally:
            over.set()
        assert set().union(*(each.result(60) for each in busy)) == {200}


usual_policy = pytest.mark.skipif(
    not hasattr(os, "sched_getscheduler") or os.sched_getscheduler(0) != os.SCHED_OTHER,
    reason="not Linux, or somebody chose another policy",
)


@usual_policy
def test_a_woken_thread_does_not_interrupt_the_one_that_holds_the_interpreter(
    watched: LiveService,
) -> None:
    main_loop, serving = json.loads(watched.get("/policies")[1])
    assert (main_loop, serving) == (os.SCHED_OTHER, os.SCHED_BATCH)


@usual_policy
def test_a_policy_that_somebody_chose_stays() -> None:
    def run() -> int:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        wait_for_a_turn()
        return os.sched_getscheduler(0)

    with ThreadPoolExecutor(1) as executor:
        assert executor.submit(run).result(60) == os.SCHED_IDLE


def test_no_request_has_gunicorn_look_a_setting_up(watched: LiveService) -> None:
    with connect(watched.port, 60) as client:
        for _ in range(2):
            assert json.loads(ask(client, "/looked-up")) == []


def test_a_next_request_that_comes_at_once_does_not_pass_the_main_loop(
    watched: LiveService,
) -> None:
    with connect(watched.port, 30) as client:
        assert ask(client, "/hold") == b"held\n"
        assert [ask(client, "/served") for _ in range(5)] == [b"held\n"] * 5


def test_requests_that_came_together_are_answered_in_turn_without_passing_it(
    watched: LiveService,
) -> None:
    with connect(watched.port, 30) as client:
        client.sendall(get("/hold") + get("/served") * 20)
        answers = b""
        while answers.count(b"\r\n\r\nheld\n") < 21:
            received = client.recv(65_536)
            assert received
            answers += received
    assert b"free" not in answers


def test_a_worker_whose_master_is_gone_ends_also_beside_a_busy_client(
    watched: LiveService,
) -> None:
    assert watched.process is not None
    with connect(watched.port, 60) as client, contextlib.suppress(ConnectionError):
        client.sendall(callback(watched))
        read_reply(client)
        watched.process.kill()
        closing = False
        while not closing:
            client.sendall(callback(watched))
            closing = read_reply(client).closing
    watched.process.wait(60)
    with FileLock(watched.log.with_name("life")).hold(60):
        pass  # the worker held it as long as it lived
