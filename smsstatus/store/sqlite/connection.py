"""Connections to the database file: one that writes, and those that only read."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from ..contract import StoreError, StoreUnavailable

BUSY_SECONDS = 1.5
CHECKPOINT_PAGES = 1000
"""Of the WAL. The commit that fills them copies them into the file, and callbacks wait for that:
with 4,000 it was 40 ms beside 5,000,000 messages.
"""

ROWS_AT_ONCE = 400
PAUSE_SECONDS = 0.0001

closed_to_readers: set[Path] = set()
"""Files that no new query may read: those that read them keep the writer from a right -shm."""


class Writable(sqlite3.Connection):
    """A connection to a file that `apply_schema` has brought up to date."""

    was_upgraded = False
    """Has the file been of an earlier version? Then it can hold that version's digests."""

    packs_parameters = False
    """Has the file been made by version 4 or later? Before, parameters were text."""


def open_writable(path: Path, check: Callable[[sqlite3.Connection], None]) -> Writable:
    """A connection in autocommit mode whose commits are on disk when they return.

    `check` is called before anything is changed; a StoreError of it leaves the file and its -wal
    as they are.
    """
    connection = sqlite3.connect(
        f"{path.as_uri()}?mode=rw",
        uri=True,
        isolation_level=None,
        timeout=BUSY_SECONDS,
        check_same_thread=False,
        factory=Writable,
    )
    try:
        check(connection)
        connection.execute("PRAGMA journal_mode = WAL").fetchall()
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA cache_size = -8192")  # KiB; holds what recent messages touch
        connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        connection.execute("PRAGMA journal_size_limit = 67108864")
        connection.execute("PRAGMA user_version").fetchall()  # has SQLite open -wal and -shm
    except StoreError:
        close_without_checkpoint(connection, path)
        raise
    except BaseException:
        connection.close()
        raise
    return connection


def close_without_checkpoint(connection: sqlite3.Connection, path: Path) -> None:
    """Close a connection to the file at `path`, also if it is the last one in all processes.

    Beside another one of this process it does not checkpoint; and that one cannot write.
    """
    with closing(open_beside(path)) as other:
        with suppress(sqlite3.Error):
            other.execute("SELECT 1 FROM sqlite_master").fetchall()
        connection.close()


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection for queries, closed in the end. Raises StoreUnavailable for what SQLite raises.

    `error.__cause__` is what SQLite said.
    """
    try:
        with closing(open_readonly(path)) as connection:
            yield connection
    except sqlite3.Error as error:
        raise StoreUnavailable(str(error)) from error


def open_readonly(path: Path) -> sqlite3.Connection:
    """A connection that cannot write, for queries; it never checkpoints. Raises sqlite3.Error."""
    if path in closed_to_readers:
        raise sqlite3.OperationalError("the database is being opened again")
    return open_beside(path)


def open_beside(path: Path) -> sqlite3.Connection:
    """As `open_readonly`, for the writer: also of a file that is closed to readers."""
    connection = sqlite3.connect(
        f"{path.as_uri()}?mode=ro", uri=True, isolation_level=None, timeout=BUSY_SECONDS
    )
    connection.row_factory = sqlite3.Row
    return connection


def rows_of(cursor: sqlite3.Cursor) -> Iterator[Any]:
    """What `fetchall` gives, for thousands of rows: between some of them other threads run.

    SQLite lets go of the interpreter for each row, and has it back before a thread that waits for
    it is awake, which asks for it only after a while in which nobody let go. Without pauses 5,000
    rows kept callbacks waiting for 20 to 40 ms.
    """
    while some := cursor.fetchmany(ROWS_AT_ONCE):
        yield from some
        if len(some) == ROWS_AT_ONCE:
            time.sleep(PAUSE_SECONDS)


def marks(values: Sequence[object]) -> str:
    """As many `?` as there are values, for an IN (...)."""
    return ", ".join("?" * len(values))


def rewrite_header(connection: sqlite3.Connection) -> None:
    """A write that changes nothing: page 1, which holds the file's header, is written again.

    The version is the one in the file: a later program may be taking over from this one.
    """
    version = connection.execute("PRAGMA user_version").fetchall()[0][0]
    connection.execute(f"PRAGMA user_version = {version}")
