"""Descriptors, tasks, memory, CPU time or a log's reader run short, and callbacks go on."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import socket
import sqlite3
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from smsstatus.settings import WEBHOOK_PATH

from ..live import API_TOKEN, LiveService, wait_until
from ..rows import insert, row
from ..store.filling import fill_postgres
from .conftest import Figure, Promise
from .crowds import allow_open_files, coming, p99, stand
from .load import Load, slowest
from .places import Place, is_on_postgres, on_both, on_both_in_full
from .raw import chunked, connect, head, read_reply
from .reconcile import not_stored
from .test_nothing_left import unread_log
from .tracing import resident_bytes, worker_pid
from .workers import NarrowAndImpatient, serve_with

_POST = f"POST {WEBHOOK_PATH} HTTP/1.1"
_KEPT = head("GET /healthz HTTP/1.1", {"Host": "127.0.0.1"})
_COSTLY = {
    "one-byte chunks": head(_POST, {"Transfer-Encoding": "chunked"}) + chunked(b"a" * 65_500, 1),
    "headers of 8 KB": head(_POST, {f"X-{n}": "a" * 8000 for n in range(100)}),
}
_TASKS = Path("/sys/fs/cgroup/pids")


def with_open_files(service: LiveService, number: int) -> None:
    """Have it started as after `ulimit -n`."""
    limited = f"import os, resource as r, sys; r.setrlimit(r.RLIMIT_NOFILE, ({number}, {number})); "
    service.command = [
        *(sys.executable, "-c", limited + "os.execv(sys.argv[1], sys.argv[1:])"),
        *(*service.gunicorn, service.application),
    ]


@pytest.mark.slow
@on_both
@pytest.mark.parametrize("kind", ["which say nothing", "which keep their connection"])
def test_callbacks_are_fast_beside_more_connections_than_files_may_be_open(
    tmp_path: Path, place: Place, full: bool, figure: Figure, promise: Promise, kind: str
) -> None:
    files = 1024 if full else 128
    standing, a_second, sent = files * 10, 64, b""
    if kind == "which keep their connection":
        standing, a_second, sent = files, 40, _KEPT
    service = LiveService(tmp_path, **place(tmp_path))
    with_open_files(service, files)
    with contextlib.ExitStack() as stack:
        stack.callback(service.kill)
        service.start()
        allow_open_files(stack, standing + 1000)
        stand(stack, service.port, sent, standing)
        stack.enter_context(coming(service.port, sent, a_second, stay=20))
        with Load(service.port, service.plivo, clients=1, keep_alive=False, pause=0.02) as genuine:
            genuine.wait_for(500 if full else 30)
        log = service.log.read_text()
    figure(
        f"{standing:,} clients {kind}, {a_second} more a second, `ulimit -n {files}`",
        f"{len(genuine.acknowledged)} genuine callbacks answered 200, p99 "
        f"{p99(genuine.deliveries) * 1000:.0f} ms",
    )
    assert genuine.others == []
    assert "Too many open files" not in log
    assert log.count("Booting worker") == 1
    promise(p99(genuine.deliveries), 0.2)


@pytest.mark.slow
@on_both
@pytest.mark.parametrize("kind", _COSTLY)
def test_callbacks_are_answered_beside_clients_whose_requests_are_costly(
    service: LiveService, full: bool, figure: Figure, promise: Promise, kind: str
) -> None:
    clients = 64 if full else 8
    # In a process of its own, or its threads would hold up the client that is measured.
    flood = multiprocessing.get_context("spawn").Process(
        target=_keep_sending, args=(service.port, _COSTLY[kind], clients), daemon=True
    )
    flood.start()
    try:
        wait_until(lambda: "before the application saw it" in service.log.read_text())
        with Load(service.port, service.plivo, clients=1, keep_alive=False, pause=0.02) as genuine:
            genuine.wait_for(300 if full else 20)
    finally:
        flood.kill()
        flood.join(60)
    figure(
        f"{clients} clients sending {kind}, again and again",
        f"{len(genuine.acknowledged)} genuine callbacks answered 200, p99 "
        f"{p99(genuine.deliveries) * 1000:.0f} ms",
    )
    assert genuine.others == []
    promise(p99(genuine.deliveries), 0.5)


def _keep_sending(port: int, data: bytes, clients: int) -> None:
    """Until the process is killed."""

    def again_and_again() -> None:
        while True:
            with contextlib.suppress(OSError), connect(port) as client:
                client.sendall(data)
                while client.recv(65_536):
                    pass

    for _ in range(clients):
        threading.Thread(target=again_and_again).start()


@on_both_in_full
def test_callbacks_are_answered_and_kept_while_nobody_reads_the_log(
    tmp_path: Path, place: Place, full: bool, figure: Figure, promise: Promise
) -> None:
    service = LiveService(tmp_path, **place(tmp_path), LOG_LEVEL="debug")
    with unread_log(service):
        with Load(service.port, service.plivo) as load:
            load.wait_for(100)
            load.go_on(30 if full else 0)
        assert not_stored(load.acknowledged, service) == []
        assert service.get("/healthz")[0] == 200
    figure(
        f"a log that nobody reads{' for 30 s' if full else ''}, under load from 8 clients",
        f"{len(load.acknowledged):,} answered 200, slowest {slowest(load.deliveries):.2f} s, "
        "missing: 0",
    )
    assert load.others == []
    promise(slowest(load.deliveries))


@pytest.fixture
def few_tasks() -> Iterator[Path]:
    """A control group whose processes may have 12 threads in all."""
    group = _TASKS / f"smsstatus-test-{os.getpid()}"
    try:
        group.mkdir()
        (group / "pids.max").write_text("12")
    except OSError:
        pytest.skip("NOT CHECKED: no control group for the number of tasks can be made here")
    yield group
    wait_until(lambda: not (group / "cgroup.procs").read_text(), what="its processes are gone")
    group.rmdir()


@pytest.mark.slow
@on_both
def test_callbacks_are_answered_and_kept_where_only_12_threads_may_be(
    tmp_path: Path, place: Place, few_tasks: Path, figure: Figure, promise: Promise
) -> None:
    service = LiveService(tmp_path, **place(tmp_path))
    service.command = [
        *("/bin/sh", "-c", f'echo $$ > {few_tasks}/cgroup.procs; exec "$@"', "sh"),
        *(*service.gunicorn, service.application),
    ]
    try:
        service.start()
        with Load(service.port, service.plivo) as load:
            load.wait_for(300)
        assert service.get("/openapi.json")[0] == 200
        assert not_stored(load.acknowledged, service) == []
        log = service.log.read_text()
    finally:
        service.kill()
    figure(
        "at most 12 threads and processes, under load from 8 clients",
        f"{len(load.acknowledged)} answered 200, slowest {slowest(load.deliveries):.2f} s, "
        "missing: 0",
    )
    assert load.others == []
    assert log.count("Booting worker") == 1
    promise(slowest(load.deliveries))


@pytest.mark.slow
@on_both
def test_callbacks_are_answered_beside_clients_that_do_not_read_the_csv_they_asked_for(
    tmp_path: Path, place: Place, full: bool, figure: Figure, promise: Promise
) -> None:
    """More than there are threads, each with more to come than any buffer takes."""
    asking = {"Host": "x", "Accept": "text/csv", "Authorization": f"Bearer {API_TOKEN}"}
    rows = 30_000 if full else 3_000
    service = LiveService(
        tmp_path, **place(tmp_path), **({} if full else serve_with(NarrowAndImpatient))
    )
    with contextlib.ExitStack() as stack:
        stack.callback(service.kill)
        service.start()
        if is_on_postgres(service):
            fill_postgres(service.environment["DATABASE_URL"], rows)
        else:
            with closing(
                sqlite3.connect(service.database, timeout=60, isolation_level=None)
            ) as connection:
                insert(connection, (row(n, "2026-11-01T12:00:00.000000Z") for n in range(rows)))
        for _ in range(16):
            client = stack.enter_context(socket.socket())
            client.settimeout(60)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            client.connect(("127.0.0.1", service.port))
            client.sendall(head("GET /messages HTTP/1.1", asking))
        with Load(service.port, service.plivo) as load:
            load.wait_for(200)
        wait_until(service.answers, what="one of them is given up")
        assert "did not take its answer" in service.log.read_text()
    figure(
        "16 clients that do not read their CSV, under load from 8 others",
        f"{len(load.acknowledged)} answered 200, slowest {slowest(load.deliveries):.2f} s",
    )
    assert load.others == []
    promise(slowest(load.deliveries))


@pytest.mark.slow
@on_both
def test_idle_connections_take_little_memory(
    service: LiveService, full: bool, figure: Figure
) -> None:
    number = 2000 if full else 500
    worker = worker_pid(service)
    with Load(service.port, service.plivo) as load:
        load.wait_for(200)  # what is loaded or allocated once does not count
    before = resident_bytes(worker)
    with contextlib.ExitStack() as stack:
        allow_open_files(stack, number + 1000)
        clients = [stack.enter_context(connect(service.port)) for _ in range(number)]
        for client in clients:
            client.sendall(_KEPT)
        for client in clients:
            assert client.recv(4096).startswith(b"HTTP/1.1 200")
        grown = (resident_bytes(worker) - before) / 1e6
    figure(f"{number:,} idle connections", f"{grown:+.1f} MB resident")
    assert grown < 20


@pytest.mark.slow
def test_a_kept_connection_is_there_after_91_seconds_of_silence(service: LiveService) -> None:
    """Heroku's router closes it after 90."""
    with connect(service.port) as client:
        for pause in (0, 91):
            threading.Event().wait(pause)
            client.sendall(_KEPT)
            assert read_reply(client).status == 200
