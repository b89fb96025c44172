"""What the faults of PostgreSQL share: a server of their own, and a service of two processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from ...live import LiveService
from ...postgres import PostgresServer, ask, postgres_server

PROCESSES = 2


@dataclass
class Target:
    """A server with fsync, a database on it, and a service that knows both by `url`.

    The service is `sms`, who owns the database and is nobody else.
    """

    server: PostgresServer
    service: LiveService

    @property
    def url(self) -> str:
        """As the server's administrator, whom no fault of the service's own rights stops."""
        return self.server.url("sms")

    def administer(self, *statements: str) -> None:
        for statement in statements:
            ask(self.url, statement)

    def configure(self, setting: str) -> None:
        """`ALTER SYSTEM` this, also where the server takes no writes."""
        with self.server.connect("sms") as connection:
            connection.execute("SET default_transaction_read_only = off")
            connection.execute(f"ALTER SYSTEM {setting}".encode())
            connection.execute("SELECT pg_reload_conf()")

    def disconnect(self) -> None:
        """End the service's connections, as a host does that changes something."""
        self.administer(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'sms'"
        )


def make_database(server: PostgresServer, tablespace: Path | None = None) -> None:
    """The role and the database `sms`, which has a password to ask for."""
    with open(server.data / "pg_hba.conf", "r+") as hba:
        others = hba.read()
        hba.seek(0)
        hba.write(f"host all sms 127.0.0.1/32 scram-sha-256\n{others}")
    server.ask("SELECT pg_reload_conf()")
    server.ask("CREATE ROLE sms LOGIN PASSWORD 'one'")
    place = ""
    if tablespace is not None:
        server.ask(f"CREATE TABLESPACE small LOCATION '{tablespace}'")
        place = "TABLESPACE small"
    server.ask(f"CREATE DATABASE sms OWNER sms {place}")


def service_of(folder: Path, url: str, limits: dict[str, str]) -> LiveService:
    return LiveService(
        folder,
        DATABASE_URL=url,
        SPOOL_DIR=str(folder / "sms.db-spool"),
        WEB_CONCURRENCY=str(PROCESSES),
        **limits,
    )


@contextmanager
def running(
    folder: Path, limits: dict[str, str], *, tablespace: Path | None = None
) -> Iterator[Target]:
    """A server and a service; both gone at the end. `tablespace`: where the data is."""
    with postgres_server(durable=True) as server:
        make_database(server, tablespace)
        service = service_of(folder, server.url("sms", "sms:one"), limits)
        try:
            service.start()
            yield Target(server, service)
        finally:
            service.kill()


@contextmanager
def read_only(target: Target) -> Iterator[None]:
    """The server takes no writes, as one that follows another."""
    target.configure("SET default_transaction_read_only = on")
    try:
        yield
    finally:
        target.configure("RESET default_transaction_read_only")


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory, limits: dict[str, str]) -> Iterator[Target]:
    """One for those tests of a module that leave it as it was."""
    with running(tmp_path_factory.mktemp("postgres"), limits) as target:
        yield target
