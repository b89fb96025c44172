"""Another process that holds a lock on the database."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from ..live import LiveService
from ..postgres import ask
from .places import is_on_postgres

_HOLD = {
    "BEGIN IMMEDIATE": (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60);"
        "c.execute('BEGIN IMMEDIATE'); print('held', flush=True); sys.stdin.read()"
    ),
    "BEGIN EXCLUSIVE": (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60);"
        "c.execute('BEGIN EXCLUSIVE'); print('held', flush=True); sys.stdin.read()"
    ),
    "flock": (
        "import fcntl, sys; f = open(sys.argv[1] + '.lock', 'a'); fcntl.flock(f, fcntl.LOCK_EX);"
        "print('held', flush=True); sys.stdin.read()"
    ),
}
KINDS = tuple(_HOLD)


@contextlib.contextmanager
def holding_the_database(database: Path, kind: str = "BEGIN IMMEDIATE") -> Iterator[None]:
    """Keep every writer out while the context lasts."""
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLD[kind], str(database)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        yield
    finally:
        holder.communicate(timeout=60)


@contextlib.contextmanager
def keeping_out(service: LiveService) -> Iterator[None]:
    """Keep the service out of its database while the context lasts, whichever that is.

    PostgreSQL ends its sessions and takes no others, so nothing that was under way is done late.
    """
    if not is_on_postgres(service):
        with holding_the_database(service.database):
            yield
        return
    parts = urlsplit(service.environment["DATABASE_URL"])
    server, name = parts._replace(path="/postgres").geturl(), parts.path.removeprefix("/")
    ask(server, f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    try:
        ask(
            server,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
            [name],
        )
        yield
    finally:
        ask(server, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
