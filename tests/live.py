"""A real service for tests: gunicorn with the project's own configuration on a free port."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from . import rounds, warm
from .signed import SECONDS, Plivo

ROOT = Path(__file__).resolve().parents[1]
API_TOKEN = "test-api-token-0123"


_reserved: list[socket.socket] = []


def free_port() -> int:
    """A port of 127.0.0.1 where nothing listens, kept for the caller until its module's tests end.

    The kernel gives the port of a bound socket to nobody who asks for any port, while a server
    that sets SO_REUSEADDR, as all here do, may still bind it, also again after a restart.
    """
    reservation = socket.socket()
    reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reservation.bind(("127.0.0.1", 0))
    _reserved.append(reservation)
    return int(reservation.getsockname()[1])


def give_ports_back() -> None:
    """Keep none of those that were asked for; who listens on one goes on."""
    while _reserved:
        _reserved.pop().close()


def wait_until(condition: Callable[[], object], seconds: float = SECONDS, what: str = "") -> None:
    """Wait for a condition; fail loudly when it does not come true in time."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what or condition}")
        pause.wait(0.01)


def environment(folder: Path, base_url: str, **more: str) -> dict[str, str]:
    """Everything the service reads, so that neither .env nor the developer's shell matters."""
    return {
        "PATH": os.environ["PATH"],
        "PYTHON_DOTENV_DISABLED": "1",
        "FLASK_SKIP_DOTENV": "1",
        "PLIVO_AUTH_TOKEN": Plivo.token,
        "BASE_URL": base_url,
        "API_TOKEN": API_TOKEN,
        "DATABASE_URL": f"sqlite:///{folder / 'sms.db'}",
        **more,
    }


class LiveService:
    """One gunicorn master and its worker. `log` is the file both write to."""

    def __init__(self, folder: Path, port: int | None = None, **more: str) -> None:
        self.port = port or free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.database = folder / "sms.db"
        self.spool = folder / "sms.db-spool"
        self.log = folder / "service.log"
        self.plivo = Plivo(base_url=more.get("BASE_URL", self.address))
        self.environment = environment(folder, self.plivo.base_url, **_without(more, "BASE_URL"))
        self.application = "wsgi:app"
        self.command: list[str] = []
        self.folder = ROOT
        self.process: subprocess.Popen[bytes] | warm.WarmProcess | None = None

    @property
    def gunicorn(self) -> list[str]:
        """The usual command, without the application. `command` takes its place."""
        return [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{self.port}"]

    def start(self, *, wait: bool = True) -> LiveService:
        command = self.command or [*self.gunicorn, self.application]
        with open(self.log, "ab") as log:
            if self._can_be_warm(command):
                self.process = warm.start(command[2:], self.folder, self.environment, log)
            else:
                self.process = subprocess.Popen(
                    command,
                    cwd=self.folder,
                    env=self.environment,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
        if wait:
            wait_until(self.answers, what=f"service answers, log: {self.log}")
        return self

    def _can_be_warm(self, command: list[str]) -> bool:
        """Whether it is a module of this Python's, in this folder, and no second is judged."""
        is_usual = command[:2] == [sys.executable, "-m"] and self.folder == ROOT
        return is_usual and not rounds.are_full() and warm.can_be_warm(self.environment)

    def answers(self) -> bool:
        try:
            return self.get("/healthz")[0] == 200
        except OSError:
            return False

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        try:
            connection.request("GET", path, headers=dict(headers or {}))
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def refuse(self) -> list[str]:
        """Start it, and see that it will not; what it says, without gunicorn's own lines."""
        self.start(wait=False)
        assert self.process is not None
        try:
            assert self.process.wait(SECONDS) == 4
        finally:
            self.kill()
        return [line for line in self.log.read_text().splitlines() if not line.startswith("[")]

    def stop(self, seconds: float = 25.0) -> int:
        """SIGTERM to the master, as a host does; its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def kill(self) -> None:
        """SIGKILL to master and worker at once, as a power loss would."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(SECONDS)


def _without(mapping: Mapping[str, str], name: str) -> dict[str, str]:
    return {key: value for key, value in mapping.items() if key != name}


@contextlib.contextmanager
def live_service(folder: Path, **more: str) -> Iterator[LiveService]:
    """A running service; killed at the end whatever happened."""
    service = LiveService(folder, **more)
    try:
        yield service.start()
    finally:
        service.kill()
