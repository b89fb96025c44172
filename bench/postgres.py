"""The PostgreSQL server that services are measured with: on this machine, durable as a real one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from bench.cores import ALL_CORES
from smsstatus.store.postgres.store import PostgresStore
from tests.postgres import PostgresServer, new_database, postgres_server

OPTIONS = ("shared_buffers=256MB", "max_connections=100", "max_wal_size=4GB")


class InPostgres(NamedTuple):
    """A database in a server, whose first process is `server`."""

    url: str
    server: int


Database = Path | InPostgres
"""SQLite's is a file."""


@contextmanager
def server() -> Iterator[PostgresServer]:
    """A new one, free to use all cores; gone at the end, with all that it held."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, ALL_CORES)
    with postgres_server(*OPTIONS, durable=True) as started:
        os.sched_setaffinity(0, before)
        yield started


@contextmanager
def database(of: PostgresServer) -> Iterator[InPostgres]:
    """A database with the schema and nothing in it; gone at the end."""
    assert of.process is not None
    with new_database(of.url()) as url:
        PostgresStore(url).prepare()
        yield InPostgres(url, of.process.pid)


def version(of: PostgresServer) -> str:
    """For a reader of the figures."""
    return str(of.ask("SELECT current_setting('server_version')")[0][0])
