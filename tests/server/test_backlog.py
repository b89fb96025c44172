"""A listening socket that other processes have as well: whoever stops leaves it usable to them."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from smsstatus.server import backlog

from ..faults.raw import connect, read_reply, wire
from ..faults.tracing import held, worker_pid
from ..live import ROOT, LiveService, wait_until
from ..signed import SECONDS, send

NOBODY = 2**22 + 1
"""No process has this id: it is above the highest that Linux gives."""

LENT = """
import os, runpy, sys
lent = int(sys.argv.pop(1))
if lent != 3:
    os.dup2(lent, 3)
    os.close(lent)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
sys.argv[0] = "gunicorn"
runpy.run_module("gunicorn", run_name="__main__")
"""


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


def test_who_stops_leaves_the_rest_to_another_process_that_lets_connections_in(
    listener: socket.socket,
) -> None:
    """Else both would accept for as long as connections keep coming."""
    port = listener.getsockname()[1]
    other = listener.dup()
    accepted = []

    def accept(stopping: Any) -> bool:
        accepted.append(stopping.accept()[0])
        backlog.let_in_new_connections(other)
        return True

    with other, contextlib.ExitStack() as clients:
        for _ in range(3):
            clients.enter_context(connect(port))
        backlog.close(listener, NOBODY, accept)
        clients.enter_context(accepted[0])
        assert len(accepted) == 1
        clients.enter_context(connect(port))


def test_after_sigusr2_the_new_master_still_gets_connections_once_the_old_one_has_ended(
    tmp_path: Path,
) -> None:
    """It is started by a script, which a master that was started by -m would not find again."""
    script, newer = tmp_path / "serve.py", tmp_path / "pid.2"
    script.write_text("from gunicorn.app.wsgiapp import run; run()")
    service = LiveService(tmp_path, GUNICORN_CMD_ARGS=f"--pid={tmp_path / 'pid'}")
    bind = f"--bind=127.0.0.1:{service.port}"
    service.command = [sys.executable, str(script), bind, service.application]
    try:
        service.start()
        old_worker = worker_pid(service)
        assert service.process is not None
        service.process.send_signal(signal.SIGUSR2)
        wait_until(newer.exists, what="there is a new master")
        with held(old_worker):
            assert service.answers(), "the new worker listens"
        assert service.stop() == 0
        for _ in range(3):
            request = service.plivo.post(service.plivo.fields("sent"))
            assert send(request, service.address)[0] == 200
    finally:
        service.kill()


def test_who_comes_while_the_service_is_stopped_is_served_by_the_next_one_on_a_lent_socket(
    tmp_path: Path, listener: socket.socket
) -> None:
    """systemd starts the service when somebody waits there, so nobody must be kept out of it."""
    service = LiveService(tmp_path, port=listener.getsockname()[1])
    request = wire(service.plivo.post(service.plivo.fields("sent")))
    with _on(listener, service), connect(service.port) as client:
        client.sendall(request)
        assert read_reply(client).status == 200
    with connect(service.port) as client:
        client.sendall(request)
        with _on(listener, service):
            assert read_reply(client).status == 200


@contextlib.contextmanager
def _on(lent: socket.socket, service: LiveService) -> Iterator[None]:
    """The service on a socket that it was started with, as systemd does it."""
    with (
        open(service.log, "ab") as log,
        subprocess.Popen(
            [sys.executable, "-c", LENT, str(lent.fileno()), "wsgi:app"],
            cwd=ROOT,
            env=service.environment,
            pass_fds=[lent.fileno()],
            stderr=log,
        ) as process,
    ):
        try:
            yield
            process.terminate()
            assert process.wait(SECONDS) == 0
        finally:
            process.kill()
