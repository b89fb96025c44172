"""The application with a checkpoint after every 4 pages of WAL instead of 1000: not for use.

Checkpoints are where two processes on one file could lose commits, so there should be many.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from smsstatus.store import database

_open_writable = database.open_writable


def open_writable(path: Path) -> sqlite3.Connection:
    """As the store opens its database, but with a tiny wal_autocheckpoint."""
    connection = _open_writable(path)
    connection.execute("PRAGMA wal_autocheckpoint = 4").fetchall()
    return connection


database.open_writable = open_writable

from wsgi import app  # noqa: E402, F401 - only now, so that it opens its database that way
