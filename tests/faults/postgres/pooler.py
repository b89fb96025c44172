"""PgBouncer in transaction mode, as hosts put between a service and its database."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from ...live import free_port, wait_until
from ...postgres import PostgresServer, ask


class Pooler:
    """Two connections to the server, shared by all who come."""

    def __init__(self, server: PostgresServer, program: str) -> None:
        self.port = free_port()
        self.url = f"postgres://sms:one@127.0.0.1:{self.port}/sms"
        self._server = server
        self._program = program
        self._settings = server.folder / "pgbouncer.ini"
        self._log = server.folder / "pgbouncer.log"
        users = server.folder / "users.txt"
        users.write_text('"sms" "one"\n')
        self._settings.write_text(
            "[databases]\n"
            f"sms = host=127.0.0.1 port={server.port} user=sms password=one pool_size=2\n"
            "[pgbouncer]\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {self.port}\nunix_socket_dir =\n"
            f"auth_type = plain\nauth_file = {users}\npool_mode = transaction\n"
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with open(self._log, "ab") as log:
            self._process = subprocess.Popen(
                self._server.command(self._program, str(self._settings)),
                cwd=self._server.folder,
                stdout=log,
                stderr=log,
            )
        wait_until(self._answers, what=f"PgBouncer answers: {self._log.read_text()[-500:]}")

    def _answers(self) -> bool:
        with contextlib.suppress(psycopg.OperationalError):
            ask(self.url, "SELECT 1")
            return True
        return False

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)  # at once: its clients' connections break
            self._process.wait(30)
            self._process = None


@contextmanager
def pgbouncer(server: PostgresServer) -> Iterator[Pooler]:
    """A running one; a failure under CI where it is not installed, else a skip."""
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        say = pytest.fail if os.environ.get("CI") else pytest.skip
        say("NOT CHECKED: no pgbouncer here, install it")
    pooler = Pooler(server, program)
    pooler.start()
    try:
        yield pooler
    finally:
        pooler.stop()
