"""Is the database still what was written to it, and what to do where only an index is not."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from threading import Timer

from .connection import reading
from .database import LOCK_SECONDS, Database

_SHOWN = 200  # characters of what SQLite says


def find_damage(path: Path, seconds: float) -> str:
    """What SQLite finds wrong with the file's pages; empty if nothing in this time, table by table.

    Read from the file, where the writer may still have a page in its cache. Raises StoreUnavailable
    if the file cannot be opened or is busy.
    """
    with reading(path) as connection:
        timer = Timer(seconds, connection.interrupt)
        timer.daemon = True
        timer.start()
        try:
            for (table,) in connection.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table'"
            ).fetchall():
                (first, *_) = connection.execute(f'PRAGMA quick_check("{table}")').fetchall()
                if first[0] != "ok":
                    return " ".join(f"{table}: {first[0]}".split())[:_SHOWN]
        except sqlite3.DatabaseError as error:
            name = error.sqlite_errorname
            if name == "SQLITE_INTERRUPT":
                return ""
            if not name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
                raise
            return f"{name}: {error}"
        finally:
            timer.cancel()
    return ""


def rebuild(path: Path) -> None:
    """Put a new file at the path, with what the tables hold and indexes made of that.

    REINDEX would not do: it first walks through the index that it replaces, and stops at the page
    that cannot be read. Raises sqlite3.Error, OSError or FileDamaged if the tables cannot be read
    to their end; then nothing was changed.
    """
    database = Database(path, may_create=False)
    with closing(database.lock), database.lock.hold(LOCK_SECONDS):
        try:
            database.rebuild()
        finally:
            database.close()
